"""The configuration server of the proxies: policies and identities over one ADS stream a proxy."""
