can-i -f shop.in.yaml web api --port 8080
can-i -f shop.in.yaml web db --port 5432 -o json
can-i -f shop.in.yaml anyone db --port 5432
can-i -f shop.in.yaml -n shop web api --port 8080
can-i -f shop.in.yaml -n data web db --port 5432
can-i -f shop.in.yaml -f bare.in.yaml web api
can-i -f shop.in.yaml -f bare.in.yaml anyone web
can-i -f shop.in.yaml -f bare.in.yaml -n shop anyone web --port 8080
can-i -f shop.in.yaml wbe api
explain -f shop.in.yaml db
explain -f shop.in.yaml -f bare.in.yaml db
explain -f shop.in.yaml -n shop db
