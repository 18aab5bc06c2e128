can-i -f shop.in.yaml shop/web shop/api --port 8080
can-i -f shop.in.yaml shop/web shop/api --port http
can-i -f shop.in.yaml shop/web shop/api --port 8081
can-i -f shop.in.yaml shop/api shop/web
can-i -f shop.in.yaml other/default shop/api
can-i -f shop.in.yaml shop/web data/db --port 5432
can-i -f shop.in.yaml -n shop api ip:203.0.113.7 --port 443
can-i -f shop.in.yaml shop/web ip:203.0.113.7 --port 443
can-i -f shop.in.yaml ip:198.51.100.1 shop/web --port 80
can-i -f shop.in.yaml ip:198.51.100.1 ip:198.51.100.2 --port 80
can-i -f shop.in.yaml shop/web trial/batch --port 1234 --protocol udp
can-i -f shop.in.yaml zone:front data/db --port 5432
can-i -f shop.in.yaml zone:front data/db --port 5433
can-i -f shop.in.yaml zone:front data/db
can-i -f shop.in.yaml zone:front data/db --pod-cidr 10.244.0.0/16
