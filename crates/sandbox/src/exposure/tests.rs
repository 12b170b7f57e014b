use super::*;

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn order(&self, command: &[&str]) -> Order {
        let command = command.iter().map(|word| word.replace('@', self.root().to_str().unwrap()));
        Order::new(&crate::Spec::new(command))
    }

    fn plan(&self, order: &Order) -> Result<Exposure, Refusal> {
        let around = Surroundings {
            cwd: self.root().join("cwd"),
            home: Some(self.root().join("home")),
            search: "/usr/bin:/bin".into(),
        };
        plan(order, &around).map(|(exposure, _)| exposure)
    }

    /// Whether a file of the scene is seen inside.
    fn sees(&self, exposure: &Exposure, file: &str) -> bool {
        let path = self.root().join(file);
        exposure.binds.keys().any(|bind| path.starts_with(bind))
    }
}

#[test]
fn an_argument_exposes_its_folder_and_its_project_but_no_shared_folder() {
    let files = [
        "p/package.json",
        "p/dist/server.js",
        "p/node_modules/x/index.js",
        "q/secret",
        "cwd/a.js",
        "cwd/secret",
        "home/a.js",
        "home/secret",
        "home/venv/pyvenv.cfg",
        "home/venv/bin/python",
        "home/.tool/bin/run",
        "home/.tool/lib/x",
        "home/.tool/credentials",
        "lone/a.js",
        "lone/b.js",
    ];
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("@/p/dist/server.js", &["p/dist/server.js", "p/node_modules/x/index.js"], &["q/secret"]),
        ("a.js", &["cwd/a.js"], &["cwd/secret", "p/package.json"]),
        ("@/home/a.js", &["home/a.js"], &["home/secret"]),
        ("@/lone/a.js", &["lone/a.js", "lone/b.js"], &["q/secret"]),
        ("@/home", &[], &["home/secret"]),
    ];
    let scene = Scene::new(&files);
    for (argument, seen, unseen) in cases {
        let exposure = scene.plan(&scene.order(&["sh", argument])).unwrap();
        for file in seen {
            assert!(scene.sees(&exposure, file), "{argument} exposes {file}");
        }
        for file in unseen {
            assert!(!scene.sees(&exposure, file), "{argument} does not expose {file}");
        }
    }
    let tool = scene.plan(&scene.order(&["@/home/.tool/bin/run"])).unwrap();
    assert!(scene.sees(&tool, "home/.tool/lib/x"));
    assert!(!scene.sees(&tool, "home/.tool/credentials"));
    let venv = scene.plan(&scene.order(&["@/home/venv/bin/python"])).unwrap();
    assert!(scene.sees(&venv, "home/venv/pyvenv.cfg"));
}

#[test]
fn a_hidden_path_is_left_out_even_before_it_exists() {
    let scene = Scene::new(&["s/server.js", "s/data/db", "s/lib/x.js", "s/doorward.toml"]);
    for hidden in ["s/data", "s/data/db", "s/doorward.toml", "s/later"] {
        let mut order = scene.order(&["sh", "@/s/server.js"]);
        order.hide.push(scene.root().join(hidden));
        let exposure = scene.plan(&order).unwrap();
        assert!(!scene.sees(&exposure, hidden), "{hidden}");
        assert!(scene.sees(&exposure, "s/lib/x.js"));
        assert!(scene.sees(&exposure, "s/server.js"));
    }
}

#[test]
fn a_named_path_that_is_hidden_or_changes_around_one_is_refused() {
    let scene = Scene::new(&["s/data/db", "s/x"]);
    let refused = |read: &str, write: &str, hide: &str| {
        let mut order = scene.order(&["sh"]);
        order.read.extend((!read.is_empty()).then(|| scene.root().join(read)));
        order.write.extend((!write.is_empty()).then(|| scene.root().join(write)));
        order.hide.push(scene.root().join(hide));
        matches!(scene.plan(&order), Err(Refusal::Path { .. }))
    };
    assert!(refused("s/data/db", "", "s/data"));
    assert!(refused("", "s", "s/data"));
    assert!(refused("no-such-file", "", "s/data"));
    assert!(!refused("s", "", "s/data"));
}

#[test]
fn the_system_as_a_whole_cannot_be_named() {
    let scene = Scene::new(&["x"]);
    for path in ["/", "/proc", "/proc/1/environ", "/dev", "/sys/kernel"] {
        let mut order = scene.order(&["sh"]);
        order.read.push(path.into());
        assert!(matches!(scene.plan(&order), Err(Refusal::Path { .. })), "{path}");
    }
}

#[test]
fn what_a_program_may_change_does_not_decide_what_it_sees() {
    let scene = Scene::new(&["shared/a", "secret/key", "secret/bin/tool", "cwd/x"]);
    let root = scene.root();
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, root.join(at)).unwrap();
    // As a program that ran before may have left it.
    link("../secret", "shared/node_modules");
    link("../secret/bin/tool", "shared/tool");
    link("../secret", "shared/sub");
    link("/usr/bin", "shared/system");
    fs::write(root.join("shared/run"), format!("#!{}\n", root.join("secret/bin/tool").display()))
        .unwrap();
    for file in ["secret/bin/tool", "shared/run"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(root.join(file), mode).unwrap();
    }

    let open = |order: &mut Order| order.write.push(root.join("shared"));
    // Beside the working folder, and as an argument: left out.
    let mut order = scene.order(&["/bin/sh", "@/shared/tool", "@/shared/sub/key"]);
    open(&mut order);
    order.cwd = Some(root.join("shared"));
    let around = Surroundings { cwd: root.join("shared"), home: None, search: "/bin".into() };
    let (exposure, _) = plan(&order, &around).unwrap();
    assert!(scene.sees(&exposure, "shared/a") && !scene.sees(&exposure, "secret/key"));

    // Named, as the program, or as its interpreter: refused.
    let mut read = scene.order(&["/bin/sh"]);
    read.read.push(root.join("shared/sub"));
    let mut write = scene.order(&["/bin/sh"]);
    write.write.push(root.join("shared/system"));
    let mut cwd = scene.order(&["/bin/sh"]);
    cwd.cwd = Some(root.join("shared/sub"));
    let program = scene.order(&["@/shared/tool"]);
    let script = scene.order(&["@/shared/run"]);
    for mut order in [read, write, cwd, program, script] {
        assert!(scene.plan(&order).is_ok(), "{:?}", order.command);
        open(&mut order);
        assert!(scene.plan(&order).is_err(), "{:?} {:?}", order.command, order.cwd);
        // Unless somebody else says the same. What is named for writing stays refused.
        order.read.push(root.join("secret"));
        let named = order.cwd.is_none() && order.write.len() == 1;
        assert_eq!(scene.plan(&order).is_ok(), named, "{:?} {:?}", order.command, order.cwd);
    }
}
