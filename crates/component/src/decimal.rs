//! Exact decimal numbers, for money and measures.
//!
//! A decimal travels as a JSON string, `"19.90"`; a JSON number is read too, from its digits and never through a float.
//! Up to 28 digits behind the point, about 28 in all. It knows no currency and rounds only where it is told to.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use crate::limits::DECIMAL_PLACES_MAX;
use crate::value::{Definitions, Value};

/// An exact decimal number.
///
/// ```
/// use headwater_component::Decimal;
///
/// let price: Decimal = "19.90".parse().unwrap();
/// let total = price * Decimal::from(3);
/// assert_eq!(total.to_string(), "59.70");
/// assert!(total > Decimal::from(59));
/// ```
///
/// `1.0` and `1.00` are equal and print as they were written.
///
/// # Panics
/// The operators panic when a result needs more than 96 bits; the `checked_` functions give `None` instead.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(rust_decimal::Decimal);

/// A text that is no decimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecimalError {
    text: String,
}

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self(rust_decimal::Decimal::ZERO);
    /// One.
    pub const ONE: Self = Self(rust_decimal::Decimal::ONE);

    /// The sum, unless it is too large.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, unless it is too large.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The product, unless it is too large.
    #[must_use]
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        self.0.checked_mul(other.0).map(Self)
    }

    /// The quotient, rounded at the 28th digit; `None` when the divisor is zero.
    #[must_use]
    pub fn checked_div(self, other: Self) -> Option<Self> {
        self.0.checked_div(other.0).map(Self)
    }

    /// Rounded to so many places behind the point, halves to the even neighbour (as banks do).
    #[must_use]
    pub fn round(self, places: u32) -> Self {
        Self(self.0.round_dp(places))
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self < Self::ZERO
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Takes `-12.50` and, as JSON writes numbers, `1.25e3`. What does not fit exactly is refused, never rounded.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        parse(text).ok_or_else(|| DecimalError { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<Decimal> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse().ok()?),
        None => (text, 0),
    };
    // The grammar is checked here because rust_decimal also takes `1_000` and `.5`.
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    shift(rust_decimal::Decimal::from_str_exact(digits).ok()?, exponent).map(Decimal)
}

fn shift(number: rust_decimal::Decimal, exponent: i32) -> Option<rust_decimal::Decimal> {
    let places = i32::try_from(number.scale()).ok()?.checked_sub(exponent)?;
    if let Ok(places) = u32::try_from(places) {
        return rust_decimal::Decimal::try_from_i128_with_scale(number.mantissa(), places).ok();
    }
    if places.unsigned_abs() > DECIMAL_PLACES_MAX {
        return number.is_zero().then_some(number);
    }
    let whole = number.mantissa().checked_mul(10_i128.checked_pow(places.unsigned_abs())?)?;
    rust_decimal::Decimal::try_from_i128_with_scale(whole, 0).ok()
}

impl fmt::Display for DecimalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` is not a decimal of at most {DECIMAL_PLACES_MAX} digits, such as 12.50", self.text)
    }
}

impl std::error::Error for DecimalError {}

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The raw text: serde's own number types would round through a float.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = match raw.get().as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw.get()).map_err(D::Error::custom)?,
            Some(b'-' | b'0'..=b'9') => raw.get().to_owned(),
            _ => return Err(D::Error::custom("expected a decimal, as a string or a number")),
        };
        text.parse().map_err(D::Error::custom)
    }
}

#[diagnostic::do_not_recommend]
impl Value for Decimal {
    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "string", "format": "decimal" })
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Decimal {
            fn from(value: $integer) -> Self {
                Self(value.into())
            }
        }
    )*};
}

from_integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl Add for Decimal {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Decimal {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul for Decimal {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
}

impl Neg for Decimal {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Decimal {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Decimal {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Decimal {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::ZERO, Add::add)
    }
}

impl<'a> Sum<&'a Self> for Decimal {
    fn sum<I: Iterator<Item = &'a Self>>(numbers: I) -> Self {
        numbers.copied().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;
    use crate::value::{decode, encode};

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_number_is_read_from_its_digits() {
        let exact = "0.1234567890123456789012345678";
        assert_eq!(decode::<Decimal>(exact.as_bytes()).unwrap().to_string(), exact);
        assert_eq!(decode::<Decimal>(format!("\"{exact}\"").as_bytes()).unwrap().to_string(), exact);
        assert_eq!(decode::<Vec<Decimal>>(b"[1.10, -2, 1.5e3, 25E-1]").unwrap(), ["1.1", "-2", "1500", "2.5"].map(decimal));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let too_fine = format!("0.{}1", "0".repeat(28));
        for bad in ["", "-", "1_000", ".5", "1.", "+1", "1e", "1e99", " 1", "NaN", "0x1", "1.2.3", "1-2", &too_fine, &"9".repeat(30)] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad}");
        }
        for bad in ["null", "true", "[]", "{}", "\"\"", "\"twelve\""] {
            assert!(decode::<Decimal>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_counts_exactly_and_travels_as_a_string() {
        assert_eq!(decimal("0.1") + decimal("0.2"), decimal("0.3"));
        assert_eq!([decimal("19.90"), -decimal("0.95")].iter().sum::<Decimal>(), decimal("18.95"));
        assert_eq!(encode(&decimal("19.90")).unwrap(), br#""19.90""#);
        assert_eq!(decimal("2.345").round(2), decimal("2.34"));
        assert_eq!(decimal("1.0"), decimal("1.00"));
        assert_eq!(Decimal::ONE.checked_div(Decimal::ZERO), None);
        assert_eq!(decimal("0e50"), Decimal::ZERO);
    }
}
