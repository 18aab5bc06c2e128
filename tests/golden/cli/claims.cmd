explain shop/checkout -f claims.in.yaml
proxy show shop/checkout -f claims.in.yaml
can-i -f claims.in.yaml shop/frontend shop/checkout --port 8080
can-i -f claims.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method DELETE --path /x --claim /realm_access/roles=admin --claim /x.y/https:~1~1z/kind=person
can-i -f claims.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method DELETE --path /x --claim /realm_access/roles=admin --claim /x.y/https:~1~1z/kind=bot
can-i -f claims.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method DELETE --path /x --claim /realm_access/roles=admin
can-i -f claims.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method DELETE --path /x --claim realm_access.roles=admin --claim /x.y/https:~1~1z/kind=person
can-i -f claims.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method DELETE --path /x --claim /realm_access//roles=admin
can-i -f claims.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method DELETE --path /x --claim /realm_access/~2=admin
