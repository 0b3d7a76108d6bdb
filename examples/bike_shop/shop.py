"""The shop's tools: its database, its handbook, and a calculator."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from agentkit import Tool
from tools import calculator, files

HERE = Path(__file__).parent
DATABASE = HERE / "shop.db"
HANDBOOK = HERE / "handbook"


def rows(sql: str, *values: str) -> list[tuple[Any, ...]]:
    """What the database answers; it is opened read-only."""
    with closing(sqlite3.connect(f"{DATABASE.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, values).fetchall()


def price(product: str) -> str:
    ((euros,),) = rows("SELECT price FROM products WHERE name = ?", product)
    return f"{euros:g} euros"


def stock(product: str) -> str:
    ((count,),) = rows("SELECT stock FROM products WHERE name = ?", product)
    return f"{count} pieces"


def customers_in(city: str) -> str:
    names = [name for (name,) in rows("SELECT name FROM customers WHERE city = ?", city)]
    return f"{len(names)} customers: {', '.join(names)}"


def orders_of(customer: str) -> str:
    bought = rows(
        "SELECT quantity, products.name FROM orders "
        "JOIN products ON products.id = product_id JOIN customers ON customers.id = customer_id "
        "WHERE customers.name = ? ORDER BY orders.id",
        customer,
    )
    return ", ".join(f"{quantity} {product}" for quantity, product in bought)


def lookup(
    name: str, description: str, argument: str, known: str, function: Callable[[str], str]
) -> Tool[Any, Any]:
    """A tool whose one argument is something the database knows: what the query `known` finds.

    Those names go into the schema and the schema into the grammar, so that the model cannot
    write any other name.
    """
    schema = {
        "type": "object",
        "properties": {argument: {"type": "string", "enum": [row[0] for row in rows(known)]}},
        "required": [argument],
        "additionalProperties": False,
    }

    def call(given: dict[str, Any]) -> str:
        return function(given[argument])

    return Tool.from_schema(name, description, schema, call)


PRODUCTS = "SELECT name FROM products"
TOOLS: tuple[Tool[Any, Any], ...] = (
    lookup("price", "What a product costs.", "product", PRODUCTS, price),
    lookup("stock", "How many pieces of a product there are.", "product", PRODUCTS, stock),
    lookup(
        "customers_in",
        "Who lives in a city.",
        "city",
        "SELECT DISTINCT city FROM customers",
        customers_in,
    ),
    lookup(
        "orders_of",
        "What a customer has ordered.",
        "customer",
        "SELECT name FROM customers",
        orders_of,
    ),
    *(tool for tool in files(HANDBOOK) if tool.name == "search_files"),
    calculator,
)
