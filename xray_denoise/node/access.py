"""Who may connect to the node: AE titles and addresses, and TLS."""

import ipaddress
import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xray_denoise.errors import UsageError


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may send: an AE title, from some addresses or from any."""

    ae: str
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """`AE` or `AE@HOST`: an address, a network such as 10.1.0.0/16, or a name, which is looked up once.

        Raises:
            UsageError: it is neither.
        """
        ae, _, host = text.partition("@")
        if not is_ae_title(ae) or text.endswith("@"):
            raise UsageError(f"'{text}' is neither AE nor AE@HOST", hint="for example XR1@10.0.0.7", option="allow")
        if not host:
            return cls(ae)
        with suppress(ValueError):
            return cls(ae, (ipaddress.ip_network(host, strict=False),))
        try:
            found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
        except OSError as error:
            raise UsageError(
                f"the host '{host}' is not known", hint="give its address instead", option="allow"
            ) from error
        return cls(ae, tuple(ipaddress.ip_network(address) for address in sorted(found)))

    def covers(self, address: str) -> bool:
        """Whether these may come from an address."""
        plain = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(plain, ipaddress.IPv6Address) and plain.ipv4_mapped:
            plain = plain.ipv4_mapped
        return not self.networks or any(plain in network for network in self.networks)


def is_ae_title(text: str) -> bool:
    """Whether a text can be an AE title (PS3.5 6.2: 16 characters, no backslash, not only spaces)."""
    return bool(re.fullmatch(r"[ -\[\]-~]{1,16}", text)) and bool(text.strip())


def tls_context(certificate: Path, key: Path, authority: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later for those who connect; with an authority, only for those whose certificate it has signed.

    Raises:
        UsageError: a file is missing, or is no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if authority is not None:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # SSLError is one
        raise UsageError(
            "the certificate, the key or the authority cannot be used", hint="give PEM files", option="tls"
        ) from error
    return context
