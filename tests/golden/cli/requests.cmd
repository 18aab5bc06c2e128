can-i -f requests.in.yaml shop/web shop/pay
can-i -f requests.in.yaml shop/web shop/pay --port api
can-i -f requests.in.yaml shop/web shop/pay --port 5432
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --method POST --path /charges?x=1
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --path /charges
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --method POST --path /x/%2e%2e/charges/7/refund
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --method POST --path /charges/7/refund --header X-Env=prod
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --method POST --path /charges/7/refund --header x-env=prod --header x-env=test
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --method POST --path /charges//7
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --method POST --path /charges%00
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --path /live --header upgrade=websocket
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --method POST --path /shop.Pay/Charge --header host=pay.shop:8080 --header content-type=application/grpc
can-i -f requests.in.yaml shop/web shop/pay --port 5432 --method POST --path /charges
can-i -f requests.in.yaml shop/web shop/pay --path /charges
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --protocol UDP --path /charges
can-i -f requests.in.yaml shop/web shop/pay --port 8080 -o yaml
proxy show shop/pay -f requests.in.yaml
can-i -f requests.in.yaml shop/web shop/pay --method POST
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --path /charges/7/refund
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --header x-env=prod
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --header host=pay.shop:x
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --path /charges//7
can-i -f requests.in.yaml shop/web shop/pay --port 8080 --method POST --path /charges --header x-http-method-override=DELETE
