"""A stdio server that means harm. One JSON object a line: {"try": name, "with": {...}}.

It answers each with what it tried and what came of it: {"tried": ..., "got": ...} if it had its
way, {"tried": ..., "refused": "EPERM"} if not. What it could not even try is an error, so that a
test is never green because of a slip in here.
"""
import ctypes, errno, json, os, signal, socket, struct, sys, time, urllib.request, urllib.error

libc = ctypes.CDLL(None, use_errno=True)


def syscall(number, *arguments):
    arguments = [a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def call(words):
    return syscall(*[int(word, 0) for word in words.split()])


def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 20).decode("utf-8", "replace")


def write(path, text=""):
    # Without text the file is only opened: that is proof enough, and harms nothing.
    descriptor = os.open(path, os.O_WRONLY | (os.O_CREAT if text else 0), 0o644)
    try:
        return os.write(descriptor, text.encode()) if text else "opened"
    finally:
        os.close(descriptor)


def look(path):
    return sorted(os.listdir(path))


def search(word, roots):
    """Looks into every file it can find for a word."""
    found, files = [], 0
    for root in roots:
        for folder, folders, names in os.walk(root):
            for name in names:
                try:
                    path = os.path.join(folder, name)
                    if os.stat(path).st_size > 1 << 16 or not os.path.isfile(path): continue
                    files += 1
                    if word in read(path): found.append(path)
                except OSError:
                    pass
    return {"found": found, "files": files}


def environs(word):
    """Looks for a word in the environment of every process."""
    found, seen = [], 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = read(f"/proc/{pid}/environ")
            seen += 1
            if word in text: found.append(pid)
        except OSError:
            pass
    return {"found": found, "seen": seen}


def link(target, path):
    os.symlink(target, path)
    return "linked"


def hardlink(target, path):
    os.link(target, path)
    return "linked"


def rename(old, new):
    os.rename(old, new)
    return "renamed"


def swap(path, other, seconds):
    """Turns a folder into a link and back, as fast as can be."""
    end, turns = time.time() + seconds, 0
    while time.time() < end:
        os.rename(path, path + ".kept")
        os.symlink(other, path)
        os.unlink(path)
        os.rename(path + ".kept", path)
        turns += 1
    return turns


def chmod(path, mode):
    os.chmod(path, mode)
    return oct(os.stat(path).st_mode)


def make(path, mode, tmpfile=False):
    os.umask(0)
    flags = os.O_WRONLY | (os.O_TMPFILE if tmpfile else os.O_CREAT | os.O_EXCL)
    descriptor = os.open(path, flags, mode)
    try:
        return oct(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def connect(host, port, family="AF_INET"):
    with socket.socket(getattr(socket, family), socket.SOCK_STREAM) as s:
        s.settimeout(3)
        s.connect((host, port))
        return "connected"


def datagram(host, port, text):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        return s.sendto(text.encode(), (host, port))


def unix(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect("\0" + name[1:] if name[0] == "@" else name)
        return "connected"


def raw(family, kind, protocol):
    socket.socket(getattr(socket, family), getattr(socket, kind), protocol).close()
    return "opened"


def resolve(name):
    try:
        return sorted({entry[4][0] for entry in socket.getaddrinfo(name, 80)})
    except socket.gaierror as error:
        raise OSError(errno.EHOSTUNREACH, str(error))


def fetch(url):
    """Follows redirects and obeys the proxy variables, as libraries do."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return [answer.status, answer.read(4096).decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read(4096).decode()]
    except urllib.error.URLError as error:
        if isinstance(error.reason, OSError) and error.reason.errno: raise error.reason
        raise OSError(errno.EPROTO, str(error.reason))


def say(port, text):
    """Sends raw bytes to a port of loopback and gives what comes back."""
    with socket.create_connection(("127.0.0.1", port), 3) as s:
        s.sendall(text.encode())
        s.settimeout(5)
        back = b""
        while len(back) < 4096:
            try:
                some = s.recv(4096)
            except TimeoutError:
                break
            if not some: break
            back += some
        return back.decode("utf-8", "replace")


def ptrace(pid):
    syscall(101, 16, pid, 0, 0)
    os.waitpid(pid, 0)
    syscall(101, 17, pid, 0, 0)
    return "attached"


def kill(pid, number):
    os.kill(pid, number)
    return "sent"


def mount(path):
    if libc.mount(b"none", path.encode(), b"tmpfs", 0, None) < 0: raise OSError(ctypes.get_errno(), "")
    libc.umount2(path.encode(), 2)
    return "mounted"


def unshare(flags):
    # In a child: the server itself is needed for more.
    return in_child(lambda: libc.unshare(ctypes.c_int(flags)))


def setuid(user):
    def change():
        if libc.setresuid(user, user, user) < 0: return -1
        return 0 if os.getuid() == user else -1
    return in_child(change)


def in_child(act):
    reader, writer = os.pipe()
    if os.fork() == 0:
        result = act()
        os.write(writer, struct.pack("i", ctypes.get_errno() if result < 0 else 0))
        os._exit(0)
    number = struct.unpack("i", os.read(reader, 4))[0]
    os.wait()
    if number: raise OSError(number, "")
    return "done"


def run(command):
    import subprocess
    done = subprocess.run(command, capture_output=True, text=True)
    return [done.returncode, done.stdout, done.stderr]


def keyring():
    key = syscall(248, b"user", b"doorward-test", b"secret", 6, -2)
    return key


def uring():
    os.close(syscall(425, 1, ctypes.create_string_buffer(120)))
    return "made"


def descriptors():
    found = []
    for number in range(0, 4096):
        try:
            os.fstat(number)
            found.append(number)
        except OSError:
            pass
    return found


def pass_descriptor(pid, number):
    return syscall(438, syscall(434, pid, 0), number, 0)


def forks(most):
    children = []
    try:
        while len(children) < most:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
        return len(children)
    except OSError as error:
        return [len(children), errno.errorcode[error.errno]]
    finally:
        for child in children: os.kill(child, 9)
        for child in children: os.waitpid(child, 0)


def memory(size):
    try:
        return len(bytearray(size))
    except MemoryError:
        raise OSError(errno.ENOMEM, "")


def memories(size, count):
    """The same in many processes at once; tells how many had theirs at the end."""
    reader, writer = os.pipe()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            held = bytearray(size)
            for at in range(0, size, 4096): held[at] = 1
            os.write(writer, b".")
            time.sleep(60)
        children.append(child)
    time.sleep(2)
    os.set_blocking(reader, False)
    try:
        had = len(os.read(reader, 4096))
    except BlockingIOError:
        had = 0
    for child in children: os.kill(child, 9)
    for child in children: os.waitpid(child, 0)
    return had


def survive(mark):
    """Becomes a daemon that ignores all it can."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            libc.prctl(1, 0)
            for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            for number in range(3): os.close(number)
            os.execvp("sleep", ["sleep", mark])
        os._exit(0)
    os.wait()
    return "let go"


def variables():
    return dict(os.environ)


def parents():
    return [os.getpid(), os.getppid()]


for line in sys.stdin:
    asked = json.loads(line)
    answer = {"tried": asked}
    try:
        answer["got"] = globals()[asked["try"]](**asked["with"])
    except OSError as error:
        answer["refused"] = errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        answer["slip"] = repr(error)
    print(json.dumps(answer), flush=True)
