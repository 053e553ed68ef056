"""Tables, figures and pages made of results; no result is computed here."""
