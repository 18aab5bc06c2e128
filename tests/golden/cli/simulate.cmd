simulate -f shop.in.yaml --flows flows.in.jsonl
simulate -f shop-narrower.in.yaml --from shop.in.yaml --flows flows.in.jsonl -o json
simulate -f shop.in.yaml --flows shop/api=flows.in.jsonl -f simulate.in.yaml
simulate -f shop.in.yaml --flows shop.in.yaml
simulate -f shop.in.yaml --flows missing.jsonl --flows nor-this.jsonl
simulate --from shop.in.yaml --flows flows.in.jsonl
simulate -f shop.in.yaml --from cluster --from shop.in.yaml --flows flows.in.jsonl
simulate -f - --flows -
