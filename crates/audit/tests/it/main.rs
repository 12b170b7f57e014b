//! The audit crate through its public face.

#[cfg(feature = "content")]
#[cfg(test)]
mod content;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tamper;

#[test]
fn the_log_in_memory_conforms() {
    doorward_testkit::log::log_conforms(|| Box::new(doorward_audit::Memory::default()));
}
