//! Policies: who may use what with what.

mod loading;
mod roles;
mod table;
mod whole;

use std::sync::Arc;

use doorward_core::{Cx, Principal, RequestId, TurnId};
use doorward_identity::cedar::{Options, Otherwise, Policies, PolicyError, PolicySource};
use doorward_testkit::clock::TestClock;

const DECLARED: &str = r#"
type Money = { amount: Long, currency?: String };

@tool("bank__transfer")
type Transfer = { money: Money, to: String, note?: String };

@tool("mail__send_email")
type SendEmail = { to: String, cc?: Set<String>, subject?: String, urgent?: Bool };

@tool("lab__measure")
type Measure = { dose?: decimal, at?: datetime, from?: ipaddr };

@tool("*")
type Anything = { path?: String };
"#;

const HOUSE: &str = include_str!("cedar/house.cedar");

const PEOPLE: &str = r#"[
    { "uid": { "type": "User", "id": "dora@corp.example" }, "attrs": {},
      "parents": [{ "type": "Group", "id": "interns" }] },
    { "uid": { "type": "Service", "id": "nightly" }, "attrs": {},
      "parents": [{ "type": "Group", "id": "robots" }] },
    { "uid": { "type": "Group", "id": "interns" }, "attrs": {},
      "parents": [{ "type": "Group", "id": "staff" }] },
    { "uid": { "type": "Group", "id": "robots" }, "attrs": {}, "parents": [] },
    { "uid": { "type": "Group", "id": "staff" }, "attrs": {}, "parents": [] }
]"#;

fn options(otherwise: Otherwise) -> Options {
    Options::new(Arc::new(TestClock::default())).with_otherwise(otherwise)
}

fn load(text: &str, otherwise: Otherwise) -> Result<Policies, PolicyError> {
    let sources =
        [PolicySource::new("tools.cedarschema", DECLARED), PolicySource::new("p.cedar", text)];
    let people = PolicySource::new("people.json", PEOPLE);
    Policies::load(&sources, Some(&people), options(otherwise))
}

fn cx(principal: Principal) -> Cx {
    Cx {
        turn: TurnId::from_bytes([1; 16]),
        request: RequestId::from_bytes([2; 16]),
        principal: Arc::new(principal),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}
