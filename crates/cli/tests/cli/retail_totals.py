"""What the shop's views must come to over the retail file, added up apart from Headwater.

Reads the file's CSV from standard input and writes one JSON object: the rows of each query as the views give them. It knows the
file and the questions, and neither events nor SQL. Python's standard library only.

An invoice is of the country, the customer and the time of its first row. Money is decimal: exact, and with the digits that
adding and multiplying by hand would leave.
"""

import csv
import json
import sys
from collections import Counter, defaultdict
from decimal import Decimal, getcontext

OPEN_MAX = 50
TOP_MAX = 10
CUSTOMERS = 5

getcontext().prec = 60


class Sum:
    """Lines, pieces and money."""

    def __init__(self):
        self.lines, self.pieces, self.total = 0, 0, Decimal(0)

    def add(self, quantity, price):
        self.lines += 1
        self.pieces += quantity
        self.total += quantity * price

    def row(self, **names):
        return {**names, "lines": self.lines, "pieces": self.pieces, "total": money(self.total)}


def money(total):
    return format(total, "f")


def main():
    placed, orders = {}, defaultdict(Sum)
    countries, days, products = defaultdict(Sum), defaultdict(lambda: defaultdict(Sum)), defaultdict(Sum)
    descriptions = defaultdict(set)
    everything = Sum()
    for row in csv.DictReader(sys.stdin):
        order, sku, at = row["InvoiceNo"], row["StockCode"], row["InvoiceDate"]
        placed.setdefault(order, (row["Country"], row["CustomerID"].removesuffix(".0") or None, at))
        quantity, price = int(row["Quantity"]), Decimal(row["UnitPrice"])
        country = placed[order][0]
        for total in (orders[order], countries[country], days[country][at[:10]], products[sku], everything):
            total.add(quantity, price)
        descriptions[sku].add(row["Description"])
    json.dump(
        {
            "lines": everything.lines,
            "orders": len(placed),
            "total": money(everything.total),
            "by-country": by_country(countries),
            "days": {country: [total.row(day=day) for day, total in sorted(of.items())] for country, of in days.items()},
            "top": top(products, descriptions),
            "open": open_orders(placed, orders),
            "of-customer": customers(placed, orders),
        },
        sys.stdout,
    )


def by_country(countries):
    ordered = sorted(countries.items(), key=lambda item: item[1].total, reverse=True)
    return [total.row(country=country) for country, total in ordered]


def top(products, descriptions):
    """Which of a product's descriptions came last depends on who played which invoice: any of them will do."""
    ordered = sorted(products.items(), key=lambda item: (-item[1].total, item[0]))[:TOP_MAX]
    return [
        {"sku": sku, "pieces": total.pieces, "total": money(total.total), "descriptions": sorted(descriptions[sku])}
        for sku, total in ordered
    ]


def open_orders(placed, orders):
    last = sorted(placed, key=lambda order: (placed[order][2], order), reverse=True)[:OPEN_MAX]
    return [
        {"id": order, "customer": customer, "country": country, "placed_at": at, **size(orders[order])}
        for order in last
        for country, customer, at in [placed[order]]
    ]


def customers(placed, orders):
    """The orders of those who ordered most often."""
    often = Counter(customer for _, customer, _ in placed.values() if customer).most_common(CUSTOMERS)
    found = {}
    for customer, _ in often:
        own = sorted((at, order) for order, (_, of, at) in placed.items() if of == customer)
        found[customer] = [{"id": order, "placed_at": at, **size(orders[order]), "cancelled": False} for at, order in own]
    return found


def size(total):
    return {"lines": total.lines, "total": money(total.total)}


main()
