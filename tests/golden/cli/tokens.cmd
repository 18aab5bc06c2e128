can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --method POST --path /orders
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method POST --path /orders --claim scope=orders.read --claim aud=shop --claim role=staff
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method POST --path /orders --claim "scope=orders.read orders.write" --claim aud=shop --claim email_verified=true
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method POST --path /orders --claim "scope=orders.write" --claim aud=shop --claim email_verified=true --claim role=staff
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --method POST --path /orders --bad-token
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --issuer kiosk
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --claim scope=orders.write
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --issuer else --claim scope=orders.write
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --claim scope=orders.write --bad-token
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --claim scope
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8081
can-i -f tokens.in.yaml anyone shop/checkout --port 8080
can-i -f tokens.in.yaml anyone shop/checkout --port 8080 --issuer kiosk
can-i -f tokens.in.yaml anyone shop/checkout --port 8080 --issuer corp --claim role=staff --claim "scope=orders.write" --claim aud=shop --claim email_verified=true
can-i -f tokens.in.yaml shop/frontend shop/checkout --port 8080 --issuer corp --claim role=staff --claim "scope=orders.write" --claim aud=shop --claim email_verified=true
can-i -f tokens.in.yaml anyone shop/checkout --port 8080 --bad-token
test suites/tokens.yaml
test suites/tokens-nobody.yaml
test suites/tokens-whose.yaml
test suites/tokens-undeclared.yaml
