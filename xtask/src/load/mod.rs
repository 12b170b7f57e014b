//! load
pub(crate) fn run(_root: &std::path::Path, _options: &[&str]) -> Result<(), String> {
    Ok(())
}
