simulate -f ../../../examples/shop --flows ../../../examples/flows/shop.jsonl
suggest -f ../../../examples/shop --flows ../../../examples/flows/shop.jsonl
