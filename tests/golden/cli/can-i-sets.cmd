can-i -f shop.in.yaml anyone data/db
can-i -f shop.in.yaml anyone zone:front --pod-cidr 10.244.0.0/16
can-i -f shop.in.yaml namespace:shop data/db --port 5433
can-i -f shop.in.yaml shop/api cidr:203.0.112.0/23 --pod-cidr 10.244.0.0/16
can-i -f shop.in.yaml shop/web namespace:data --protocol tcp -o json
can-i -f requests.in.yaml anyone shop/pay
can-i -f requests.in.yaml zone:front shop/pay
can-i -f requests.in.yaml namespace:shop shop/pay --path /charges
can-i -f requests.in.yaml anyone shop/pay --port api --method POST --path /charges
can-i -f requests.in.yaml shop/web namespace:shop --port api --method POST --path /charges//7
can-i -f requests.in.yaml anyone shop/pay --path /charges%00
can-i -f shop.in.yaml pod:shop/web shop/api --port 8080
can-i -f shop.in.yaml spiffe://cluster.local/ns/shop/sa/web shop/api --port 8081
can-i -f shop.in.yaml anyone anyone
can-i -f shop.in.yaml anyone shop/api --plaintext
can-i -f shop.in.yaml cidr:10.0.0.1/8 shop/api
can-i -f shop.in.yaml namespace:shpo shop/api
can-i -f shop.in.yaml pod:shop/wbe shop/api
