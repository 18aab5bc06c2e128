"""Credentials that nobody ever had, put together here so that no scanner takes this file for a leak."""

ALNUM = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

#: What it is called in messages, and a text that has the form.
FORMS = {
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\n" + ALNUM + "\n-----END RSA PRIVATE KEY-----",
    "an access key of AWS": "AKIA" + UPPER[:16],
    "a token of GitHub": "ghp_" + ALNUM[:36],
    "a token of GitLab": "glpat-" + ALNUM[:20],
    "a token of Slack": "xoxb-" + "1234567890-" + ALNUM[:20],
    "a secret key of Stripe": "sk_live_" + ALNUM[:24],
    "an API key of Google": "AIza" + ALNUM[:35],
    "a token of npm": "npm_" + ALNUM[:36],
    "a token of PyPI": "pypi-" + ALNUM,
    "a token of Vault": "hvs." + ALNUM[:24],
    "an account key of Azure": "DefaultEndpointsProtocol=https;AccountKey=" + ALNUM + "+/==;EndpointSuffix=x",
    "a JSON Web Token": "eyJ" + ALNUM[:20] + ".eyJ" + ALNUM[:20] + "." + ALNUM[:43],
    "a credential of an HTTP request": "Authorization: Bearer " + ALNUM[:24],
    "a URL with a password in it": "postgres://till:" + "hunter22" + "@db.example:5432/shop",
}
#: More of the same.
OTHERS = {
    "a private key": [
        "-----BEGIN " + "PRIVATE KEY-----",
        "-----BEGIN EC " + "PRIVATE KEY-----",
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED " + "PRIVATE KEY-----",
        "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----",
        '{"private_key": "-----BEGIN ' + 'PRIVATE KEY-----\\nMII"}',
    ],
    "an access key of AWS": ["ASIA" + UPPER[:16], "key=AKIA" + UPPER[:16] + ";"],
    "a token of GitHub": [f"gh{kind}_" + ALNUM[:36] for kind in "ousr"] + ["github_pat_" + ALNUM[:30]],
    "a credential of an HTTP request": ["authorization: basic " + ALNUM[:16]],
    "a URL with a password in it": [
        "redis://:" + "hunter22" + "@cache:6379",
        "amqp://u:p%40ss@" + "mq",
        "x https://a:$(b)c@" + "h y",
    ],
}
