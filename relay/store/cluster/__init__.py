"""The daemons of one database: who they are, who leads, what they must hear of."""
