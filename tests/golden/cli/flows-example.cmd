simulate -f ../../../examples/shop --flows ../../../examples/flows/shop.jsonl
suggest -f ../../../examples/shop --flows ../../../examples/flows/shop.jsonl
explain -f ../../../examples/shop shop-data/payments --flows ../../../examples/flows/shop.jsonl
