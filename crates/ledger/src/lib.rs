//! Rates, token and money budgets over both planes: reserve, settle, refuse.
