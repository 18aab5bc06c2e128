can-i -f hosts.in.yaml shop/web host:api.bank.example --port 443
can-i -f hosts.in.yaml shop/web host:A.Cards.Example. --port 443
can-i -f hosts.in.yaml shop/web host:a.b.cards.example --port 443
can-i -f hosts.in.yaml shop/web host:api.bank.example
can-i -f hosts.in.yaml shop/web ip:8.8.8.8 --port 443
can-i -f hosts.in.yaml shop/web ip:10.0.0.1 --port 443
can-i -f hosts.in.yaml shop/web ip:203.0.113.7 --port 443
can-i -f hosts.in.yaml shop/pay host:mail.example --port 443 --pod-cidr 10.244.0.0/16
can-i -f hosts.in.yaml shop/pay host:other.example --port 443 --pod-cidr 10.244.0.0/16
can-i -f hosts.in.yaml host:api.bank.example shop/web --port 443
can-i -f hosts.in.yaml shop/web host:*.cards.example --port 443
can-i -f hosts.in.yaml shop/web host:api.bank.example --port 443 -o json
explain -f hosts.in.yaml shop/web --pod-cidr 10.244.0.0/16
explain -f hosts.in.yaml shop/pay --pod-cidr 10.244.0.0/16
diff hosts.in.yaml hosts-other.in.yaml --pod-cidr 10.244.0.0/16
prove -f hosts.in.yaml --pod-cidr 10.244.0.0/16
proxy show shop/web -f hosts.in.yaml --pod-cidr 10.244.0.0/16
test suites/hosts.yaml
