can-i -f requests.in.yaml shop/web shop/pay --port api --plaintext
can-i -f requests.in.yaml ip:203.0.113.9 shop/pay --port api
can-i -f requests.in.yaml shop/pay shop/web --port 80 --method GET --path /
can-i -f requests.in.yaml -f can-i-layers.in.yaml shop/web shop/pay --port api --method POST --path /charges
