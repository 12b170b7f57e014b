//! The suites, run against what the rooms keep in memory.

mod chaos;

use std::sync::Arc;

use doorward_audit::{Options, Recorder};
use doorward_core::SystemClock;
use doorward_testkit::counters::counters_conform;
use doorward_testkit::keys::key_store_conforms;
use doorward_testkit::log::{log_conforms, signing_key};
use doorward_testkit::shared_log::SharedLog;
use doorward_testkit::sink::{Observed, sink_conforms};
use doorward_testkit::turn_store::turn_store_conforms;

#[test]
fn keys_in_memory_conform() {
    key_store_conforms(|| Box::new(doorward_identity::Memory::default()));
}

#[test]
fn logs_in_memory_conform() {
    log_conforms(|| Box::new(doorward_audit::Memory::default()));
    log_conforms(|| Box::new(SharedLog::default()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_in_memory_conform() {
    counters_conform(|| Arc::new(doorward_ledger::Memory::default())).await;
}

#[tokio::test]
async fn the_memory_of_trust_conforms() {
    turn_store_conforms(|| Arc::new(doorward_guardrails::Memory::default())).await;
}

#[tokio::test]
async fn the_recorder_conforms() {
    sink_conforms(|capacity| {
        let log = SharedLog::default();
        let options = Options { capacity, ..Options::default() };
        let recorder =
            Recorder::start(log.clone(), signing_key(), Arc::new(SystemClock), options).unwrap();
        Observed { sink: Arc::new(recorder), recorded: Box::new(move || log.events()) }
    })
    .await;
}
