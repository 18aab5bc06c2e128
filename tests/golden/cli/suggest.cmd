suggest -f shop.in.yaml --flows suggest.in.jsonl
suggest -f shop.in.yaml -f suggest-floor.in.yaml --flows suggest.in.jsonl
suggest -f shop.in.yaml --flows suggest.in.jsonl --include-denied -o json
suggest -f shop.in.yaml --flows flows.in.jsonl
suggest -f shop.in.yaml --flows suggest.in.yaml
suggest -f suggest-open.in.yaml --flows flows.in.jsonl
