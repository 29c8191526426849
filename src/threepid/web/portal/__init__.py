"""The account portal: what people do with their account in a browser, under `/account/`."""
