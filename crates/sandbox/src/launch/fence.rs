//! Landlock: the second line behind the mount namespace.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};

use crate::Network;
use crate::exposure::Exposure;

/// The newest rules that are asked for; an older kernel enforces what it knows of them.
const NEWEST: ABI = ABI::V9;

/// Restricts this process and all it starts. Gives what is enforced, or why nothing is.
/// Without a root folder of its own the program shares `/tmp` and `/etc` with everybody: there it
/// gets neither, only what is exposed.
pub(super) fn put_up(
    exposure: &Exposure,
    network: Network,
    proxied: bool,
    mounted: bool,
) -> Result<String, String> {
    // Without a namespace to keep it to the proxy, a program is kept from TCP altogether.
    let tcp = network == Network::Host || (network == Network::Proxy && proxied);
    let enforced = restrict(exposure, tcp, mounted).map_err(|error| error.to_string())?;
    let version = match enforced.landlock {
        LandlockStatus::NotEnabled => return Err("it is switched off in this kernel".to_owned()),
        LandlockStatus::NotImplemented => return Err("this kernel has none".to_owned()),
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
    };
    if enforced.ruleset == RulesetStatus::NotEnforced {
        return Err("nothing is enforced".to_owned());
    }
    let parts = match (version, tcp) {
        (..4, _) | (4..6, true) => "files",
        (4..6, false) => "files, TCP",
        (_, false) => "files, TCP, abstract sockets, signals",
        (_, true) => "files, abstract sockets, signals",
    };
    Ok(format!("version {version}: {parts}"))
}

fn restrict(
    exposure: &Exposure,
    tcp: bool,
    mounted: bool,
) -> Result<landlock::RestrictionStatus, landlock::RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let nodes = AccessFs::MakeChar | AccessFs::MakeBlock;
    let read = AccessFs::from_read(NEWEST);
    let change = all & !nodes & !AccessFs::IoctlDev;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let own = mounted.then_some(());
    let see = AccessFs::ReadFile | AccessFs::ReadDir;

    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    ruleset = ruleset.scope(Scope::from_all(ABI::V6))?;
    if !tcp {
        ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V4))?;
    }
    let given = |write: bool| {
        exposure.binds.iter().filter(move |(_, bind)| bind.write == write).map(|(path, _)| path)
    };
    let devices = ["null", "zero", "full", "random", "urandom"];
    ruleset
        .create()?
        .add_rules(path_beneath_rules(own.iter().map(|()| "/"), BitFlags::from(AccessFs::ReadDir)))?
        .add_rules(path_beneath_rules(own.iter().map(|()| "/etc").chain(["/proc"]), see))?
        .add_rules(path_beneath_rules(devices.map(|name| Path::new("/dev").join(name)), device))?
        .add_rules(path_beneath_rules(
            own.iter().flat_map(|()| ["/tmp", "/dev/shm"]),
            change | read,
        ))?
        .add_rules(path_beneath_rules(given(false), read))?
        .add_rules(path_beneath_rules(given(true), change))?
        .no_new_privs(true)
        .restrict_self()
}
