//! What has to work, or nobody would use a sandbox.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use doorward_sandbox::Spec;

use crate::{LAUNCHER, Scene, has, run};

#[tokio::test]
async fn python_runs_with_its_libraries() {
    if !has("python3") {
        return;
    }
    let code = "import json, ssl, sqlite3, asyncio, subprocess, tempfile, getpass\n\
                open(tempfile.mktemp(), 'w').write('x')\n\
                print(json.dumps([subprocess.check_output(['echo', 'hi'], text=True), getpass.getuser()]))\n\
                print(bool(ssl.create_default_context()))";
    let ended = run(&Spec::new(["python3", "-c", code])).await;
    assert_eq!(ended.out, "[\"hi\\n\", \"sandbox\"]\nTrue\n", "{ended:?}");
}

#[tokio::test]
async fn node_finds_the_modules_of_its_project() {
    if !has("node") {
        return;
    }
    let scene = Scene::new(&[
        ("package.json", "{\"type\":\"commonjs\"}"),
        ("node_modules/greet/index.js", "module.exports = () => 'hello'"),
        ("node_modules/greet/package.json", "{\"name\":\"greet\"}"),
        (
            "dist/server.js",
            "const g = require('greet'); const {Worker} = require('worker_threads');\n\
            new Worker('', {eval: true}).on('exit', () => console.log(g(), require('fs').readdirSync(__dirname)))",
        ),
    ]);
    let ended = run(&Spec::new(["node".to_owned(), scene.text("dist/server.js")])).await;
    assert_eq!(ended.out, "hello [ 'server.js' ]\n", "{ended:?}");
    // Named relative to the working folder, which itself stays hidden but for its modules.
    let mut spec =
        Spec::new(["node", "-p", "require('greet')() + require('fs').existsSync('dist')"]);
    spec.cwd = Some(scene.path(""));
    let ended = run(&spec).await;
    assert_eq!(ended.out, "hellofalse\n", "{ended:?}");
}

#[tokio::test]
async fn a_python_environment_runs() {
    if !has("python3") {
        return;
    }
    let scene = Scene::new(&[("server.py", "import sys, greet; print(greet.word, sys.prefix)")]);
    let venv = scene.text("my venv");
    let made =
        Command::new("python3").args(["-m", "venv", "--without-pip", &venv]).status().unwrap();
    if !made.success() {
        return println!("skipped: no venv module");
    }
    let lib = fs::read_dir(scene.path("my venv/lib")).unwrap().next().unwrap().unwrap().path();
    fs::write(lib.join("site-packages/greet.py"), "word = 'hello'").unwrap();
    let python = scene.text("my venv/bin/python");
    let ended = run(&Spec::new([python, scene.text("server.py")])).await;
    assert_eq!(ended.out, format!("hello {venv}\n"), "{ended:?}");

    // A script installed in it, by its first line.
    let script = scene.path("my venv/bin/tool");
    fs::write(&script, "#!/usr/bin/env python3\nprint('tool')").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let ended = run(&Spec::new([script.to_str().unwrap()])).await;
    assert_eq!(ended.out, "tool\n", "{ended:?}");
}

#[tokio::test]
async fn what_is_given_is_there() {
    let scene =
        Scene::new(&[("read/a", "A"), ("write/b", "B"), ("write/keep/c", "C"), ("other/d", "D")]);
    std::os::unix::fs::symlink(scene.path("read"), scene.path("link")).unwrap();
    let root = scene.text("");
    let script = format!(
        "cd '{root}'; cat read/a link/a write/b; echo new > write/new; echo x > read/x; echo x > write/keep/x; cat other/d"
    );
    let mut spec = Spec::new(["/bin/sh", "-c", &script]);
    spec.read = vec![scene.path("link"), scene.path("write/keep")];
    spec.write = vec![scene.path("write")];
    spec.env.insert("TOKEN".into(), "t".into());
    let ended = run(&spec).await;
    assert_eq!(ended.out, "AAB", "{ended:?}");
    assert_eq!(fs::read_to_string(scene.path("write/new")).unwrap(), "new\n");
    assert!(!scene.path("read/x").exists() && !scene.path("write/keep/x").exists());
}

#[tokio::test]
async fn variables_and_relative_scripts_work() {
    let scene =
        Scene::new(&[("run.sh", "echo $TOKEN $HOME $(pwd); cd $HOME && echo x > y && cat y")]);
    let mut spec = Spec::new(["/bin/sh", "run.sh"]);
    spec.cwd = Some(scene.path(""));
    spec.env.insert("TOKEN".into(), "t".into());
    let ended = run(&spec).await;
    let cwd = scene.path("").canonicalize().unwrap();
    assert_eq!(ended.out, format!("t /tmp/home {}\nx\n", cwd.display()), "{ended:?}");
}

#[tokio::test]
async fn an_ordinary_user_gets_the_same_sandbox() {
    let root = nix::unistd::geteuid().is_root();
    if !root || !has("setpriv") {
        return println!("skipped: only root can be somebody else, with setpriv");
    }
    let scene = Scene::new(&[(
        "run.sh",
        "id -u; cat /etc/shadow; echo x > /tmp/x && cat /tmp/x; cat /proc/sys/kernel/ostype",
    )]);
    fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    for options in [vec!["--"], vec!["--user", "65534:65534", "--"]] {
        let mut command = if options.len() == 1 {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", LAUNCHER]);
            command
        } else {
            Command::new(LAUNCHER)
        };
        let path = scene.text("run.sh");
        let out =
            command.args(&options).args(["/bin/sh", &path]).current_dir("/").output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(
            text,
            "1000\nx\nLinux\n",
            "{options:?} {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}
