#!/usr/bin/env python3
"""A relay for tests of packages: test-relay.py PORT DIRECTORY [USER:PASSWORD]

Writes each message to a file in DIRECTORY, with the envelope and the login in front (X-Mail-Args, X-Rcpt, X-Login). With USER:PASSWORD it offers AUTH
PLAIN and refuses another login. The recipient refused@... is refused. A message with the word "slow" in the subject waits until the file "go" exists in
DIRECTORY; the file "waiting" says that one waits.
"""
import base64
import os
import socketserver
import sys
import time

directory, login = sys.argv[2], sys.argv[3].encode() if len(sys.argv) > 3 else None


class Session(socketserver.StreamRequestHandler):
    def reply(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.user = "nobody"
        self.reply("220 test ESMTP")
        for line in self.rfile:
            words = line.split()
            verb = words[0].upper() if words else b""
            if verb == b"QUIT":
                self.reply("221 bye")
                return
            getattr(self, "do_" + verb.decode("ascii", "replace").lower(), self.do_other)(line, words)

    def do_other(self, line, words):
        self.reply("250 ok")

    def do_ehlo(self, line, words):
        self.reply("250-test\r\n250-8BITMIME" + ("\r\n250 AUTH PLAIN" if login else "\r\n250 SIZE"))

    def do_auth(self, line, words):
        given = base64.b64decode(words[2]).split(b"\0")
        if login is None or b":".join(given[1:]) != login:
            self.reply("535 5.7.8 wrong")
            return
        self.user = given[1].decode()
        self.reply("235 ok")

    def do_mail(self, line, words):
        self.sender = line.strip().split(b":", 1)[1].split()[0].decode()
        self.recipients = []
        self.reply("250 ok")

    def do_rcpt(self, line, words):
        if b"<refused@" in line:
            self.reply("550 5.1.1 no such user")
            return
        self.recipients.append(line.strip().split(b":", 1)[1].split()[0].decode())
        self.reply("250 ok")

    def wait(self):
        with open(os.path.join(directory, "waiting"), "w"):
            pass
        while not os.path.exists(os.path.join(directory, "go")):
            time.sleep(0.05)

    def do_data(self, line, words):
        self.reply("354 go on")
        content = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            content.append(line)
        if any(line.startswith(b"Subject:") and b"slow" in line for line in content):
            self.wait()
        name = os.path.join(directory, f"{time.time_ns()}.{os.getpid()}.{id(self)}")
        with open(name + ".new", "wb") as f:
            to = " ".join(self.recipients)
            f.write(f"X-Mail-Args: {self.sender}\r\nX-Rcpt: {to}\r\nX-Login: {self.user}\r\n".encode())
            f.write(b"".join(content))
        os.rename(name + ".new", name)
        self.reply("250 ok")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Session).serve_forever()
