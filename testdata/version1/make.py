#!/usr/bin/env python3
"""Makes spool.json: the spool directory of version 1 (commit 10ab621), whose daemon was killed at work. See README.md.

    git worktree add /tmp/v1 10ab621 && (cd /tmp/v1 && go build -o bin/ ./cmd/spoolgore ./cmd/sendmail-spool)
    ./make.py /tmp/v1/bin/spoolgore /tmp/v1/bin/sendmail-spool

Local parts of recipients say what the relay does: later is deferred, refused is refused, hang gets no answer after the
last octet, and all others are accepted. The domain of a recipient is the message.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

N = 6  # messages that are refused at the kill
HERE = os.path.dirname(os.path.abspath(__file__))


class Relay:
    """A plain SMTP server. accepted lists the recipients of messages that were answered with 250, in order."""

    def __init__(self):
        self.accepted, self.hanging, self.lock = [], 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        lines, to = connection.makefile("rwb"), []

        def say(reply):
            lines.write(reply.encode() + b"\r\n")
            lines.flush()
        try:
            say("220 relay.example")
            for line in lines:
                verb, argument = line[:4].upper().decode(), line[5:].strip().decode()
                if verb == "EHLO":
                    say("250-relay.example\r\n250 8BITMIME")
                elif verb == "RCPT":
                    address = argument.partition("<")[2].partition(">")[0]
                    if address.startswith("later"):
                        say("450 4.2.1 later")
                    elif address.startswith("refused"):
                        say("550 5.1.1 no such user")
                    else:
                        to.append(address)
                        say("250 ok")
                elif verb == "DATA":
                    say("354 go on" if to else "554 no valid recipients")
                    if to:
                        while lines.readline() not in (b".\r\n", b""):
                            pass
                        if any(a.startswith("hang") for a in to):
                            with self.lock:
                                self.hanging += 1
                            threading.Event().wait()
                        with self.lock:
                            self.accepted += to
                        to = []
                        say("250 ok")
                elif verb == "QUIT":
                    say("221 bye")
                    return
                else:
                    if verb in ("MAIL", "RSET"):
                        to = []
                    say("250 ok")
        except OSError:
            pass


def wait(until, what):
    for _ in range(3000):
        if until():
            return
        time.sleep(0.01)
    sys.exit("not within 30 s: " + what)


def message(name, *to, id=True):
    head = "From: sender@%s\nTo: %s\nSubject: %s\n" % (name, ", ".join("%s@%s" % (a, name) for a in to), name)
    return head + ("Message-ID: <%s>\n" % name if id else "") + "\nhello, %s\n" % name


class Maker:
    def __init__(self, home, daemon, sendmail):
        self.dir, self.daemon, self.sendmail = os.path.join(home, "spool"), daemon, sendmail
        self.relay, self.log = Relay(), os.path.join(home, "log")
        self.env = dict(os.environ, HOME=home, XDG_CONFIG_HOME=home, SPOOLGORE_DIR=self.dir)
        os.makedirs(self.path("tmp"))
        with open(self.path("..", "spoolgore.conf"), "w") as f:
            f.write("dir %s\ndomain host.example\n" % self.dir)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def exists(self, *names):
        return os.path.lexists(self.path(*names))

    def text(self, *names):
        try:
            with open(self.path(*names)) as f:
                return f.read()
        except OSError:
            return ""

    def drop(self, name, *to, id=True):
        with open(self.path("tmp", name), "w") as f:
            f.write(message(name, *to, id=id))
        os.rename(self.path("tmp", name), self.path(name))

    def put(self, name, *to):
        """Puts a message by the sendmail command, with an envelope."""
        done = subprocess.run([self.sendmail, "-i", "-f", "sender@" + name] + ["%s@%s" % (a, name) for a in to],
                              input=message(name, *to).encode(), env=self.env)
        assert done.returncode == 0

    def start(self):
        self.process = subprocess.Popen([self.daemon, "-freq", "1", "-smtpaddr", self.relay.address, self.dir],
                                        stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, env=self.env)
        wait(lambda: "started" in open(self.log).read(), "start")

    def settled(self):
        """The first part: what the status file covers."""
        self.drop("partly", "done", "later")
        self.drop("nameless", "done", "later", id=False)
        self.drop("held", "done", "later")
        self.drop("deferred", "later", "later2")
        self.drop("failed-partly", "done", "refused")
        self.drop("failed-whole", "refused")
        self.drop("sent", "done")
        self.put("put", "done", "later")
        reported = lambda name: "sender@" + name in self.relay.accepted
        wait(lambda: reported("failed-partly") and reported("failed-whole"), "reports")
        wait(lambda: self.text(".spoolgore.js").count('"Attempts":1') >= 5 and not self.exists("sent"), "attempts")
        os.rename(self.path("held"), self.path("hold", "held"))
        with open(self.path("hold", "held-new"), "w") as f:
            f.write(message("held-new", "done"))
        wait(lambda: '"Held"' in self.text(".spoolgore.js"), "the held message in the status file")
        time.sleep(3)
        wait(lambda: not self.text(".spoolgore.journal"), "an empty journal")

    def journaled(self):
        """The second part: what only the journal knows, as the status file cannot be written."""
        os.rename(self.path(".spoolgore.js"), self.path("..", "status"))
        os.mkdir(self.path(".spoolgore.js"))
        self.drop("journal", "done", "later")
        self.drop("journal-nameless", "done", "later", id=False)
        self.drop("journal-failed", "done", "refused")
        self.put("journal-put", "done", "later")
        done = lambda name: "done@" + name in self.text(".spoolgore.journal")
        wait(lambda: all(map(done, ("journal", "journal-nameless", "journal-failed", "journal-put"))), "journal")
        wait(lambda: "sender@journal-failed" in self.relay.accepted, "report")

    def in_flight(self):
        """The third part: what is going on at the kill."""
        half = subprocess.Popen([self.sendmail, "-i", "-f", "sender@half", "done@half"], stdin=subprocess.PIPE, env=self.env)
        half.stdin.write(message("half", "done").encode() * 3000)
        half.stdin.flush()
        wait(lambda: any(f.startswith(".put-") for f in os.listdir(self.path("tmp"))), "a file of Put")
        half.kill()
        half.wait()
        for name in ("flying", "flying-too"):
            self.drop(name, "hang", "later")
        wait(lambda: self.relay.hanging == 2, "messages in flight")
        for i in range(N):
            self.drop("refused%d" % i, "refused")
        told = lambda: [f for f in self.relay.accepted if f.startswith("sender@refused")]
        while not self.pending() and len(told()) < N:
            pass
        self.process.kill()
        self.process.wait()
        return bool(self.pending())

    def pending(self):
        """Messages that have left the spool for failed/, and whose senders have no report yet."""
        marks = [f for f in os.listdir(self.path("failed")) if f.startswith(".untold-")]
        return [m for m in marks if self.exists("failed", m[8:]) and not self.exists(m[8:])]

    def by_hand(self):
        """What a kill hardly ever leaves, and what comes while no daemon runs."""
        os.rmdir(self.path(".spoolgore.js"))
        os.rename(self.path("..", "status"), self.path(".spoolgore.js"))
        with open(self.path("tmp", "sent"), "w") as f:
            f.write(message("sent", "done"))
        at = os.stat(self.path("tmp", "sent"))
        os.rename(self.path("tmp", "sent"), self.path("tmp", ".sent-%d-%d-%d-sent" % (at.st_ino, at.st_size, at.st_mtime_ns)))
        self.drop("fresh", "done")

    def write(self):
        """Writes spool.json, with placeholders for the path of the spool and for inode numbers."""
        paths = sorted(os.path.relpath(os.path.join(d, f), self.dir) for d, _, names in os.walk(self.dir) for f in names)
        inodes = {os.lstat(self.path(p)).st_ino: p for p in paths}
        files = []
        for p in paths:
            text = self.text(p).replace(self.dir, "{{DIR}}")
            at = os.lstat(self.path(p))
            own = os.path.basename(p).startswith(".spoolgore") or p.endswith(".json")
            if own:
                text = re.sub(r'("Inode": ?)(\d+)', lambda m: "%s{{INODE %s}}" % (m[1], inodes[int(m[2])]), text)
            name = re.sub(r"\.sent-\d+-(\d+)-\d+-", r".sent-{{INODE}}-\1-{{MTIME}}-", p)
            if len(text) > 10_000 and ".put-" in p:
                text = text[:5000]  # half is half
            if inodes[at.st_ino] != p:
                files.append({"Path": name, "Link": inodes[at.st_ino]})
                continue
            files.append({"Path": name, "Mode": at.st_mode & 0o7777, "Modified": at.st_mtime_ns, "Text": text})
        with open(os.path.join(HERE, "spool.json"), "w") as f:
            json.dump({"Killed": time.time_ns(), "Accepted": sorted(self.relay.accepted), "Files": files}, f, indent=1)
            f.write("\n")


def main():
    for n in range(20):
        with tempfile.TemporaryDirectory() as home:
            maker = Maker(home, *map(os.path.abspath, sys.argv[1:3]))
            try:
                maker.start()
                maker.settled()
                maker.journaled()
                pending = maker.in_flight()
            finally:
                maker.process.kill()
            if not pending:
                print("no report was pending at the kill, once more")
                continue
            maker.by_hand()
            maker.write()
            return
    sys.exit("no report was ever pending at the kill")


main()
