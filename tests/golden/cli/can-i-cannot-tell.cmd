can-i -f shop.in.yaml shop/wbe shop/api
can-i -f shop.in.yaml data/web shop/api
can-i -f shop.in.yaml zone:frnt shop/api
can-i -f shop.in.yaml shop/web zone:nowhere
can-i -f shop.in.yaml shop/web apiserver
can-i -f shop.in.yaml shop/web host:bank.example
can-i -f shop.in.yaml shop/web ip:203.0.113.0/24
can-i -f shop.in.yaml shop/web/x shop/api
can-i -f shop.in.yaml "" shop/api
can-i -f shop.in.yaml shop/web shop/api --port grpc
