can-i -f shop.in.yaml shop/web shop/api --port http -o json
can-i -f shop.in.yaml zone:front data/db --port 5432 -o yaml
can-i -f shop.in.yaml ip:198.51.100.1 shop/web -o yaml
