use doorward_core::Principal;
use doorward_identity::cedar::{AdminAction, AdminPolicies, Asked, Role};

#[test]
fn each_role_may_what_it_is_for() {
    use Role::{Admin, Auditor, Member, Owner};
    let policies = AdminPolicies::shipped().unwrap();
    let (me, other) = (Principal::person("me@corp.example"), Principal::person("o@corp.example"));
    let own = |wider| AdminAction::WriteKey { owner: "me@corp.example", wider };
    let others = |wider| AdminAction::WriteKey { owner: "o@corp.example", wider };
    let raise = |to, role, held| AdminAction::AssignRole { to, role, held };
    for (action, may) in [
        (AdminAction::ReadConfig, &[Owner, Admin, Auditor] as &[Role]),
        (AdminAction::ReadPolicy, &[Owner, Admin, Auditor]),
        (AdminAction::ReadAudit, &[Owner, Admin, Auditor]),
        (AdminAction::ReadUsage, &[Owner, Admin, Auditor]),
        (AdminAction::WriteConfig, &[Owner]),
        (AdminAction::WritePolicy, &[Owner]),
        (AdminAction::ApproveTool, &[Owner, Admin]),
        (AdminAction::ReadKey { owner: "me@corp.example" }, &[Owner, Admin, Auditor, Member]),
        (AdminAction::ReadKey { owner: "o@corp.example" }, &[Owner, Admin, Auditor]),
        (own(false), &[Owner, Admin, Member]),
        (own(true), &[Owner]),
        (others(false), &[Owner, Admin]),
        (others(true), &[Owner]),
        (raise(&other, Member, &[]), &[Owner, Admin]),
        (raise(&other, Auditor, &[Member]), &[Owner, Admin]),
        (raise(&other, Admin, &[]), &[Owner]),
        (raise(&other, Owner, &[]), &[Owner]),
        // Whoever is an owner is not made less by an admin.
        (raise(&other, Member, &[Owner]), &[Owner]),
        (raise(&me, Member, &[]), &[]),
        (raise(&me, Owner, &[]), &[]),
    ] {
        for role in [Owner, Admin, Auditor, Member] {
            let decision = policies.authorize(&Asked { principal: &me, roles: &[role], action });
            let allowed = decision.is_allowed();
            assert_eq!(allowed, may.contains(&role), "{role:?} {action:?} {decision:?}");
        }
        let nobody = Asked { principal: &me, roles: &[], action };
        assert!(!policies.authorize(&nobody).is_allowed(), "{action:?}");
    }
}

#[test]
fn two_admins_together_raise_neither() {
    let policies = AdminPolicies::shipped().unwrap();
    let (me, friend) = (Principal::person("me"), Principal::person("friend"));
    let all = [Role::Owner, Role::Admin, Role::Auditor, Role::Member];
    for (principal, to) in [(&me, &friend), (&friend, &me)] {
        for role in [Role::Owner, Role::Admin] {
            for held in [&[] as &[Role], &[Role::Admin], &[Role::Member], &all] {
                let action = AdminAction::AssignRole { to, role, held };
                let asked = Asked { principal, roles: &all[1..], action };
                assert!(!policies.authorize(&asked).is_allowed(), "{role:?} {held:?}");
            }
        }
    }
}
