"""A real SMTP server for tests, told by each recipient how to behave.

    busy-3@…   451 to the first three attempts, then accepted
    gone@…     550, for good
    slow-200@… takes 200 ms to accept
    anything else is accepted

Each accepted mail becomes one line of JSON in DIR/mails.ndjson. Prints the port once
it listens, and ends when its standard input does.
"""

import argparse
import asyncio
import json
import logging
import pathlib
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, folder):
        self.mails = (folder / "mails.ndjson").open("a", encoding="utf-8")
        self.attempts = {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        name, _, argument = address.split("@")[0].partition("-")
        count = self.attempts[address] = self.attempts.get(address, 0) + 1
        if name == "gone":
            return "550 5.1.1 no such mailbox"
        if name == "busy" and count <= int(argument):
            return f"451 4.2.0 come back later ({count})"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name, _, argument = envelope.rcpt_tos[0].split("@")[0].partition("-")
        if name == "slow":
            await asyncio.sleep(int(argument.split("-")[0]) / 1000)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data.login.decode() if session.auth_data else None,
            "connection": session.peer[1],
            "attempts": self.attempts[envelope.rcpt_tos[0]],
            "data": envelope.content.decode("utf-8"),
        }
        self.mails.write(json.dumps(mail) + "\n")
        self.mails.flush()
        return "250 taken"


def authenticator(expected):
    user, _, password = expected.partition(":")

    def check(server, session, envelope, mechanism, data):
        right = data.login.decode() == user and data.password.decode() == password
        return AuthResult(success=right, handled=False, auth_data=data)

    return check


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", choices=["none", "starttls", "implicit"], default="none")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--login", help="user:password")
    arguments = parser.parse_args()

    context = None
    if arguments.tls != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate, arguments.key)
    handler = Handler(arguments.folder)
    options = {"hostname": "localhost", "enable_SMTPUTF8": True}
    if arguments.login:
        options |= {
            "authenticator": authenticator(arguments.login),
            "auth_required": True,
            "auth_require_tls": arguments.tls == "starttls",
        }
    if arguments.tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, **options),
        "127.0.0.1",
        arguments.port,
        ssl=context if arguments.tls == "implicit" else None,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


# Refused handshakes and plain logins are what some tests are about.
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
asyncio.run(main())
