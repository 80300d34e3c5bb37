"""The process's one TLS context."""

from __future__ import annotations

import functools
import os
import ssl


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """Return the process's one TLS context; making one takes 20 ms."""
    import certifi

    # The roots that most Python packages trust: certifi's, unless the user sets others.
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        folder = None
    elif not folder:
        file = certifi.where()
    try:
        context = ssl.create_default_context(cafile=file, capath=folder)
    except OSError as error:
        raise OSError(
            f"no certificates to trust in {file or folder} (SSL_CERT_FILE, SSL_CERT_DIR): {error}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context
