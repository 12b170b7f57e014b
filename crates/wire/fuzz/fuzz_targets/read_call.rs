//! Any bytes as a request: they are read or refused, and what is read keeps its bytes.
#![no_main]

mod spoken;

use bytes::Bytes;
use doorward_wire::Destination;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((pick, body)) = data.split_first() else { return };
    let Some(dialect) = spoken::picked(*pick) else { return };
    let body = Bytes::copy_from_slice(body);
    if let Some(embeddings) = dialect.embeddings() {
        let _ = embeddings.read_call(body.clone());
        let _ = embeddings.read_reply(body.clone());
    }
    for other in spoken::spoken() {
        let _ = other.read_error(429, body.clone());
    }
    if let Ok(call) = dialect.read_addressed(body.clone(), "m", false) {
        let to = Destination::new(&call.model);
        let _ = dialect.write_call(&call, &to);
    }
});
