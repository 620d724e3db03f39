"""A private certificate authority of one test run: certificates for servers and clients, also ones that are over.

Keys are P-256 and lie in the test's own directory. The extensions are those that OpenSSL's strict checking (Python
3.13's default) asks for, RFC 5280: key identifiers, key usage, basic constraints.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=1)
# The clocks of two machines differ.
SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Certificate:
    """Two PEM files: the certificate, and its private key."""

    certificate: Path
    key: Path

    @property
    def pair(self) -> tuple[str, str]:
        """As hvac and requests want them."""
        return str(self.certificate), str(self.key)


class Authority:
    """A CA whose certificate is `ca_file`; what it issues is put beside it."""

    def __init__(self, directory: Path, name: str = "volward test CA") -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._certificate = self._self_signed()
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def server(self, name: str, *addresses: str, expired: bool = False) -> Certificate:
        """A server's certificate for `name`, localhost and these IP addresses."""
        names: list[x509.GeneralName] = [x509.DNSName(name), x509.DNSName("localhost")]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._issue(name, ExtendedKeyUsageOID.SERVER_AUTH, names, expired=expired)

    def client(self, name: str, *, expired: bool = False) -> Certificate:
        """A client's certificate; `name` is its common name and its DNS name."""
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, [x509.DNSName(name)], expired=expired)

    def server_context(self, certificate: Certificate) -> ssl.SSLContext:
        """For a listener of the test's own, such as a proxy's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        """For a connection that trusts this CA alone."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def _self_signed(self) -> x509.Certificate:
        usage = _usage(key_cert_sign=True, crl_sign=True)
        public = self._key.public_key()
        builder = _builder(self._name, self._name, public, datetime.now(UTC), LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _issue(
        self, name: str, purpose: x509.ObjectIdentifier, names: list[x509.GeneralName], *, expired: bool
    ) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        start = datetime.now(UTC) - (2 * LIFE if expired else timedelta(0))
        builder = _builder(_name(name), self._name, public, start, LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(digital_signature=True), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        stem = f"{name}-expired" if expired else name
        issued = Certificate(self._directory / f"{stem}.pem", self._directory / f"{stem}.key")
        issued.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        issued.key.touch(mode=0o600)
        issued.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return issued


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, start: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(start - SKEW).not_valid_after(start + life)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
