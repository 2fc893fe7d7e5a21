"""E-mail of an urgent study (RFC 5321), without the patient."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime

from secondread.service.delivery.message import link, message_id
from secondread.service.delivery.outcome import Away, Later, Refused
from secondread.service.delivery.parcel import Parcel
from secondread.service.delivery.reach import secret_in, tls_context, words
from secondread.service.settings.sending import MAIL, Mail
from secondread.wording.numbers import p_value, rate, significant

_DETAIL = re.compile(rb"\s*(\d\.\d{1,3}\.\d{1,3})\b")


@dataclass
class Mailbox:
    """Of everybody who is told. Each of them hears once: who has is in `done`."""

    destination: Mail
    public_url: str
    timeout_s: float

    def deliver(self, parcel: Parcel, done: set[str]) -> None:
        missing = [address for address in self.destination.to if address not in done]
        if not missing:
            return
        with self._connected() as server:
            refused = self._send(server, self._message(parcel), missing)
        done.update(address for address in missing if address not in refused)
        if refused:
            codes = [code for code, _ in refused.values()]
            said = f"{len(refused)} of {len(self.destination.to)} addresses refused: " + ", ".join(
                dict.fromkeys(_said(code, detail) for code, detail in refused.values())
            )
            raise Later(said) if any(code < 500 for code in codes) else Refused(said)

    def rest(self) -> None:
        """Nothing is kept open."""

    def ask(self) -> str:
        with self._connected() as server:
            code, detail = server.noop()
        if code >= 400:
            raise Away(f"NOOP: {_said(code, detail)}")
        return "SMTP"

    def _message(self, parcel: Parcel) -> EmailMessage:
        reading, one = parcel.reading, self.destination
        message = EmailMessage()
        message["Subject"] = f"Urgent study ({reading.bundle})"
        message["From"], message["To"] = one.sender, ", ".join(one.to)
        message["Date"] = format_datetime(reading.at)
        domain = one.sender.rpartition("@")[2].rstrip(">") or "secondread"
        message["Message-ID"] = f"<{message_id(parcel, MAIL)}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n".join(self._lines(parcel)) + "\n")
        return message

    def _lines(self, parcel: Parcel) -> Iterator[str]:
        reading = parcel.reading
        yield f"A study that came in stands out ({reading.bundle})."
        yield ""
        yield f"Score: {significant(reading.score)}"
        yield f"p-value: {p_value(reading.p_value)}"
        if reading.flagged is not None:
            yield f"Flagged: {'yes' if reading.flagged else 'no'}"
        if reading.false_alarm_rate is not None:
            yield f"Of normals at most {rate(reading.false_alarm_rate)} are flagged."
        url = link(parcel, self.public_url)
        yield f"Number in the worklist: {parcel.study.id}"
        if url:
            yield url
        yield ""
        yield "Research use, not a medical device."

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """Raises Away where nobody is there, or lets nobody in."""
        one = self.destination
        context = tls_context(one.authority) if one.starttls else None
        try:
            server = smtplib.SMTP(one.server, one.port, timeout=self.timeout_s)
        except smtplib.SMTPConnectError as error:
            raise Away(f"{one.server}:{one.port}: {_said(error.smtp_code, error.smtp_error)}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Away(f"{one.server}:{one.port}: {words(error)}") from None
        try:
            try:
                server.ehlo()
                if context is not None:
                    server.starttls(context=context)
                    server.ehlo()
                if one.user and one.password_file is not None:
                    server.login(one.user, secret_in(one.password_file))
            except smtplib.SMTPNotSupportedError:
                raise Away(
                    f"{one.server}: offers no STARTTLS, or no way to log in; nothing is sent"
                ) from None
            except smtplib.SMTPResponseException as error:
                raise Away(f"{one.server}: {_said(error.smtp_code, error.smtp_error)}") from None
            except (OSError, smtplib.SMTPException) as error:
                raise Away(f"{one.server}: {words(error)}") from None
            yield server
        finally:
            _leave(server)

    def _send(
        self, server: smtplib.SMTP, message: EmailMessage, to: list[str]
    ) -> dict[str, tuple[int, bytes]]:
        """Who was refused."""
        try:
            return server.send_message(message, self.destination.sender, to)
        except smtplib.SMTPRecipientsRefused as error:
            return error.recipients
        except smtplib.SMTPResponseException as error:
            said = _said(error.smtp_code, error.smtp_error)
            raise (Refused(said) if error.smtp_code >= 500 else Later(said)) from None
        except smtplib.SMTPNotSupportedError:
            raise Refused("the server cannot take such an address") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Later(f"while the mail was sent: {words(error)}") from None


def _said(code: int, detail: object) -> str:
    """`550 5.1.1`: without the server's words."""
    found = _DETAIL.match(detail) if isinstance(detail, bytes) else None
    return f"SMTP {code}" + (f" {found[1].decode()}" if found else "")


def _leave(server: smtplib.SMTP) -> None:
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        server.close()
