#!/usr/bin/env python3
"""A cluster as callers of kubectl see one: what is created stays until it is deleted. The program
of a pod runs on this machine, with nothing but what the pod says, once somebody attaches."""
import base64, glob, json, os, pathlib, signal, subprocess, sys, time

state = pathlib.Path(__file__).parent / "state"
state.mkdir(exist_ok=True)
words = sys.argv[1:]
with open(state / "log", "a") as log:
    log.write(json.dumps(words) + "\n")
options = [word for word in words if word.startswith("--")]
verb, *rest = [word for word in words if not word.startswith("--")]


def things():
    return {path: json.loads(path.read_text()) for path in state.glob("*.json")}


def stop(name, number):
    try:
        os.killpg(int((state / (name + ".pid")).read_text()), number)
    except (OSError, ValueError):
        pass


if (state / "broken").exists():
    sys.exit("The connection to the server was refused")
if verb == "create":
    made = json.load(sys.stdin)
    for thing in made.get("items", [made]):
        name = thing["metadata"]["name"]
        (state / f"{name}.{thing['kind'].lower()}.json").write_text(json.dumps(thing))
        if thing["kind"] == "Pod" and (state / "quota").exists():
            sys.exit("pods is forbidden: exceeded quota, said hunter22 or aHVudGVyMjI=")
    print("uid-1" if made["kind"] == "Pod" else "", end="")
elif verb == "patch":
    path = state / f"{rest[1]}.{rest[0]}.json"
    thing = json.loads(path.read_text())
    patch = next(word for word in options if word.startswith("--patch="))
    thing["metadata"].update(json.loads(patch[8:])["metadata"])
    path.write_text(json.dumps(thing))
elif verb == "wait":
    if (state / "unready").exists():
        sys.exit("error: timed out waiting for the condition")
elif verb == "attach":
    (name,) = rest
    body = json.loads((state / f"{name}.pod.json").read_text())["spec"]["containers"][0]
    env = {"PATH": os.environ["PATH"]}
    for source in body.get("envFrom", []):
        secret = json.loads((state / f"{source['secretRef']['name']}.secret.json").read_text())
        env |= {k: base64.b64decode(v).decode() for k, v in secret["data"].items()}
    env |= {entry["name"]: entry["value"] for entry in body["env"]}
    command = body.get("command", []) + body.get("args", [])
    program = subprocess.Popen(command, env=env, start_new_session=True)
    (state / (name + ".pid")).write_text(str(program.pid))
    os.close(0)
    code = program.wait()
    (state / (name + ".code")).write_text(str(code if code >= 0 else 128 - code))
elif verb == "get":
    path = next(word for word in options if word.startswith("--output="))
    if rest[0] == "namespace":
        print(json.dumps({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}))
    elif rest[0] == "pod" and "exitCode" in path:
        # The answer comes late.
        again = state / (rest[1] + ".asked")
        if not (state / (rest[1] + ".code")).exists():
            sys.exit("not found")
        print((state / (rest[1] + ".code")).read_text() if again.exists() else "", end="")
        again.write_text("")
    elif rest[0] == "pod":
        print("0/1 nodes are available", end="")
    else:
        label = next(word for word in options if word.startswith("--selector=")).split("=", 1)[1]
        key, value = label.split("=")
        print(json.dumps({"items": [t for t in things().values() if t["metadata"]["labels"].get(key) == value]}))
elif verb == "delete" and rest[0] == "pod":
    stop(rest[1], signal.SIGTERM)
elif verb == "delete":
    label = next(word for word in options if word.startswith("--selector=")).split("=", 1)[1]
    key, value = label.split("=")
    for path, thing in things().items():
        if thing["metadata"]["labels"].get(key) == value:
            stop(thing["metadata"]["name"], signal.SIGKILL)
            path.unlink(missing_ok=True)
