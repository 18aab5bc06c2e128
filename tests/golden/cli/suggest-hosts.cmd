suggest -f shop.in.yaml --flows suggest-hosts.in.jsonl
simulate -f hosts.in.yaml --flows suggest-hosts.in.jsonl
