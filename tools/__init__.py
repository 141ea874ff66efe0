"""Commands for those who run or build Switchboard; `make help` names them. The server imports none of them."""
