//! Tokens of prompts where nobody counts.

use doorward_core::{Code, Models};

use crate::script::{Scripted, by_host, chat, cx, router};

#[tokio::test]
async fn where_nobody_counts_there_is_an_estimate() {
    let transport = Scripted::new(by_host(&[]));
    let router = router(transport.clone());
    let count = router.count(&cx(), chat("third/x", false)).await.unwrap();
    assert_eq!((count.input, count.estimated), (5, true));
    assert_eq!(count.route.target, "third/x");
    assert_eq!(transport.count(), 0, "nobody is asked");
    let error = router.count(&cx(), chat("nobody/x", false)).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
}
