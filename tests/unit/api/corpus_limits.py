"""Limits, bounds and changes of headers that are refused."""

from tests.unit.api.corpus_making import Object, counting, limited, policy

_PATH = {"issuer": "corp", "path": ["org", "id"], "requests": 5, "per": "1m"}

LIMITS: dict[str, Object] = {
    "traffic: says nothing": counting(),
    "traffic: no name": policy({"traffic": [{"maxBody": "1Mi"}]}),
    "traffic: a limit of nothing": counting(rateLimits={}),
    "traffic: a claim of nobody": counting(rateLimits={"perClaim": [{"claim": "a", "requests": 1, "per": "1s"}]}),
    "traffic: an issuer without a claim": counting(
        rateLimits={"perClaim": [{"issuer": "a", "requests": 1, "per": "1s"}]}
    ),
    "traffic: a claim with a space": counting(
        rateLimits={"perClaim": [{"issuer": "a", "claim": "b c", "requests": 1, "per": "1s"}]}
    ),
    "traffic: five claims": counting(
        rateLimits={
            "perClaim": [{"issuer": "a", "claim": f"c{n}", "requests": 1, "per": "1s"} for n in range(5)],
        }
    ),
    "traffic: a claim that is a path too": counting(rateLimits={"perClaim": [{**_PATH, "claim": "sub"}]}),
    "traffic: a path of one name": counting(rateLimits={"perClaim": [{**_PATH, "path": ["sub"]}]}),
    "traffic: a path of five names": counting(rateLimits={"perClaim": [{**_PATH, "path": ["a"] * 5}]}),
    "traffic: a path with a space": counting(rateLimits={"perClaim": [{**_PATH, "path": ["a", "b c"]}]}),
    "traffic: no requests": limited(requests=0),
    "traffic: requests below nothing": limited(requests=-1),
    "traffic: requests without end": limited(requests=10**12),
    "traffic: half a request": limited(requests=0.5),
    "traffic: per nothing": limited(per="0s"),
    "traffic: per a moment": limited(per="10ms"),
    "traffic: per year": limited(per="8760h"),
    "traffic: per a number": limited(per=1),
    "traffic: a burst below requests": limited(burst=9),
    "traffic: a burst of nothing": limited(burst=0),
    "traffic: no connection": counting(maxConnections=0),
    "traffic: no body": counting(maxBody="0"),
    "traffic: a body below nothing": counting(maxBody="-1Mi"),
    "traffic: a body as a number": counting(maxBody=1000),
    "traffic: a body in another unit": counting(maxBody="1MB"),
    "traffic: too few headers": counting(requestHeaders={"maxCount": 1}),
    "traffic: no time": counting(timeouts={"request": "0s"}),
    "traffic: no timeouts": counting(timeouts={}),
    "traffic: a header with a colon": counting(headers={"toProgram": {"remove": [":path"]}}),
    "traffic: a header in capitals": counting(headers={"toProgram": {"remove": ["X-Debug"]}}),
    "traffic: a value with a line end": counting(headers={"toCaller": {"set": [{"name": "a", "value": "b\r\nc: d"}]}}),
    "traffic: two entries of a name": policy(
        {"traffic": [{"name": "a", "maxBody": "1"}, {"name": "a", "maxBody": "2"}]}
    ),
}
