//! [`Router`] as a `tower::Service`.

use std::sync::Arc;
use std::task::{Context, Poll};

use doorward_core::{BoxFuture, CallError, Cx, ModelCall, ModelReply, Models};
use tower_service::Service;

use crate::Router;

/// One call with its circumstances: the request of the router's `tower::Service`.
#[derive(Debug, Clone)]
pub struct Completion {
    /// On whose behalf, until when.
    pub cx: Cx,
    /// The call.
    pub call: ModelCall,
}

impl Service<Completion> for Arc<Router> {
    type Response = ModelReply;
    type Error = CallError;
    type Future = BoxFuture<'static, Result<ModelReply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Completion { cx, call }: Completion) -> Self::Future {
        let router = self.clone();
        Box::pin(async move { router.complete(&cx, call).await })
    }
}
