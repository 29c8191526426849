"""Registration, recovery and deactivation of accounts. Each changes the data of several other packages in one transaction."""
