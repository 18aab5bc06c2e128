can-i -f when.in.yaml shop/web shop/ledger --port 8080
can-i -f when.in.yaml shop/web shop/ledger --port 8080 --path /entries?kind=open
can-i -f when.in.yaml shop/web shop/ledger --port 8080 --path /entries?kind=closed
can-i -f when.in.yaml shop/web shop/ledger --port 8080 --path /entries?Kind=open
can-i -f when.in.yaml shop/web shop/ledger --port 8080 --path /entries
can-i -f when.in.yaml shop/report shop/ledger --port 8080 --time 2026-11-26T20:59:59Z
can-i -f when.in.yaml shop/report shop/ledger --port 8080 --time 2026-11-26T22:00+01:00
can-i -f when.in.yaml shop/report shop/ledger --port 8080 --time 2026-11-28T04:59:59Z
can-i -f when.in.yaml shop/report shop/ledger --port 8080 --time 2026-11-28T05:00Z
can-i -f when.in.yaml shop/report shop/ledger --port 8080 --time 2026-11-28
can-i -f when.in.yaml bank/audit shop/ledger --port 5432
can-i -f when.in.yaml shop/web shop/ledger --port 5432
compile -f when.in.yaml --kind NetworkPolicy
explain -f when.in.yaml shop/ledger
test when.tests.yaml
