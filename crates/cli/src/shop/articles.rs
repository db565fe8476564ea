//! What the shop sells.

/// An article.
pub(crate) struct Article {
    pub(crate) sku: &'static str,
    pub(crate) name: &'static str,
    pub(crate) price_cents: u32,
}

const fn article(sku: &'static str, name: &'static str, price_cents: u32) -> Article {
    Article { sku, name, price_cents }
}

/// All of them.
pub(crate) const ARTICLES: [Article; 8] = [
    article("mug-blue", "Blue mug", 695),
    article("mug-red", "Red mug", 695),
    article("tea-earl", "Earl Grey, 100 g", 540),
    article("tea-mint", "Mint tea, 80 g", 425),
    article("pot-iron", "Cast iron pot", 3_990),
    article("tin-small", "Small tin", 310),
    article("spoon-oak", "Oak spoon", 245),
    article("box-gift", "Gift box", 180),
];
