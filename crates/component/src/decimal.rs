//! Exact decimal numbers, for money and measures.
//!
//! A decimal travels as a JSON string, `"19.90"`; a JSON number is read too, from its digits and never through a float.
//! Up to 28 digits behind the point, about 28 in all. It knows no currency and rounds only where it is told to: sums, differences
//! and products are exact or refused. They are counted here because `rust_decimal` shortens a fraction that does not fit.

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
/// The operators and `sum()` are exact or panic, in every build, when the exact result has more than 28 digits behind the point
/// or needs more than 96 bits for all of its digits. The `checked_` functions give `None` instead: use them on what comes from
/// outside.
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

    /// The exact sum; `None` when it does not fit. It keeps the longer of the two fractions as it is written, `1.00 + 1 = 2.00`,
    /// and gives up zeros at the end only where that makes it fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.0.scale() < other.0.scale() { sum(other.0, self.0) } else { sum(self.0, other.0) }
    }

    /// The exact difference; `None` when it does not fit. Its fraction is that of [`checked_add`](Self::checked_add).
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(-other)
    }

    /// The exact product; `None` when it does not fit. Its fraction is as long as both together, `1.0 * 1.0 = 1.00`, and gives
    /// up zeros at the end only where that makes it fit.
    #[must_use]
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        product(self.0, other.0)
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

/// The exact sum of two numbers, the one with the longer fraction first.
fn sum(mut long: rust_decimal::Decimal, short: rust_decimal::Decimal) -> Option<Decimal> {
    loop {
        let factor = 10_i128.checked_pow(long.scale().checked_sub(short.scale())?)?;
        if let Some(sum) = short.mantissa().checked_mul(factor).and_then(|short| short.checked_add(long.mantissa())) {
            return fitted(sum, long.scale());
        }
        // The short one has no room for so many zeros. It needs fewer where the long fraction ends in some itself; where it
        // does not, no digit of the sum can go either.
        long = fewer_places(long)?;
    }
}

/// The same number with one place less, when that place is a zero.
fn fewer_places(number: rust_decimal::Decimal) -> Option<rust_decimal::Decimal> {
    let (digits, places) = (number.mantissa(), number.scale().checked_sub(1)?);
    if digits % 10 != 0 {
        return None;
    }
    rust_decimal::Decimal::try_from_i128_with_scale(digits / 10, places).ok()
}

/// The digits with so many places, or with fewer when they end in zeros and fit only then.
fn fitted(mut digits: i128, mut places: u32) -> Option<Decimal> {
    loop {
        if let Ok(fits) = rust_decimal::Decimal::try_from_i128_with_scale(digits, places) {
            return Some(Decimal(fits));
        }
        if digits % 10 != 0 {
            return None;
        }
        (digits, places) = (digits / 10, places.checked_sub(1)?);
    }
}

/// The exact product: while the digits are too many for an `i128`, tens are taken out of the factors and not of the product.
fn product(left: rust_decimal::Decimal, right: rust_decimal::Decimal) -> Option<Decimal> {
    let (mut left, mut right, mut places) = (left.mantissa(), right.mantissa(), left.scale() + right.scale());
    loop {
        if let Some(digits) = left.checked_mul(right) {
            return fitted(digits, places);
        }
        (left, right) = without_a_ten(left, right)?;
        places = places.checked_sub(1)?;
    }
}

/// Two factors whose product is a tenth of what it was; `None` when ten does not divide it.
fn without_a_ten(left: i128, right: i128) -> Option<(i128, i128)> {
    let splits = [(10, 1), (1, 10), (2, 5), (5, 2)];
    let split = splits.into_iter().find(|(of_left, of_right)| left % of_left == 0 && right % of_right == 0);
    split.map(|(of_left, of_right)| (left / of_left, right / of_right))
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

#[cold]
#[track_caller]
fn overflow(left: Decimal, operator: &str, right: Decimal) -> ! {
    panic!("decimal overflow: {left} {operator} {right} has too many digits to be exact; the checked_ functions give None instead")
}

impl Add for Decimal {
    type Output = Self;

    #[track_caller]
    fn add(self, other: Self) -> Self {
        self.checked_add(other).unwrap_or_else(|| overflow(self, "+", other))
    }
}

impl Sub for Decimal {
    type Output = Self;

    #[track_caller]
    fn sub(self, other: Self) -> Self {
        self.checked_sub(other).unwrap_or_else(|| overflow(self, "-", other))
    }
}

impl Mul for Decimal {
    type Output = Self;

    #[track_caller]
    fn mul(self, other: Self) -> Self {
        self.checked_mul(other).unwrap_or_else(|| overflow(self, "*", other))
    }
}

impl Neg for Decimal {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Decimal {
    #[track_caller]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Decimal {
    #[track_caller]
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

    #[test]
    fn a_result_keeps_its_places_as_written() {
        for (left, right, sum) in [("1.00", "1.00", "2.00"), ("1", "0.50", "1.50"), ("0.5", "-0.5", "0.0")] {
            assert_eq!((decimal(left) + decimal(right)).to_string(), sum);
            assert_eq!((decimal(right) + decimal(left)).to_string(), sum);
        }
        assert_eq!((decimal("2.50") - decimal("0.5")).to_string(), "2.00");
        assert_eq!((decimal("1.0") * decimal("1.0")).to_string(), "1.00");
    }

    #[test]
    fn what_would_lose_a_digit_is_none() {
        let large = decimal("7922816251426433759354395033");
        assert_eq!(large.checked_add(decimal("0.05")), None);
        assert_eq!(large.checked_sub(decimal("0.05")), None);
        assert_eq!(decimal("1.0000000000000000000000000001").checked_mul(Decimal::from(9)), None);
        assert_eq!(decimal("0.00000000000001").checked_mul(decimal("0.000000000000001")), None);
    }

    #[test]
    fn zeros_at_the_end_go_only_where_that_makes_it_fit() {
        let large = decimal("7922816251426433759354395033");
        assert_eq!(large.checked_add(decimal("0.500")).unwrap().to_string(), "7922816251426433759354395033.5");
        assert_eq!(large.checked_add(decimal("0.0000000000000000000000000000")).unwrap().to_string(), format!("{large}.0"));
        let (half, two) = (decimal("0.5000000000000000000000000000"), decimal("2.0000000000000000000000000000"));
        assert_eq!(half.checked_mul(two).unwrap().to_string(), format!("1.{}", "0".repeat(28)));
        assert_eq!(Decimal::ZERO.checked_mul(half).unwrap(), Decimal::ZERO);
        // 2^93 and 5^30: neither factor ends in a zero, their product in thirty.
        let (twos, fives) = (decimal("0.9903520314283042199192993792"), decimal("931322574615478515625"));
        assert_eq!(twos.checked_mul(fives).unwrap().to_string(), "922337203685477580800.0000000");
    }

    #[test]
    #[should_panic(expected = "decimal overflow: 79228162514264337593543950335 + 0.1 has too many digits")]
    fn an_operator_panics_where_the_exact_result_does_not_fit() {
        let _ = [decimal("79228162514264337593543950335"), decimal("0.1")].into_iter().sum::<Decimal>();
    }

    /// Xorshift, Marsaglia 2003: the same numbers in every run.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// Up to so many bits, either sign, often with zeros at the end.
        fn digits(&mut self, bits_max: u64) -> i128 {
            let bits = self.next() % (bits_max + 1);
            let wide = (i128::from(self.next()) << 64 | i128::from(self.next())) & ((1 << bits) - 1);
            let ten = 10_i128.pow(u32::try_from(self.next() % 6).unwrap());
            if self.next().is_multiple_of(2) { wide / ten * ten } else { -wide }
        }

        fn places(&mut self, max: u64) -> u32 {
            u32::try_from(self.next() % (max + 1)).unwrap()
        }
    }

    fn number(digits: i128, places: u32) -> Decimal {
        Decimal(rust_decimal::Decimal::try_from_i128_with_scale(digits, places).unwrap())
    }

    /// Whether there is a decimal for these digits at all, counted without any of the code above.
    fn has_a_decimal(mut digits: i128, mut places: u32) -> bool {
        while places > 0 && digits % 10 == 0 {
            (digits, places) = (digits / 10, places - 1);
        }
        digits.unsigned_abs() < 1 << 96 && places <= 28
    }

    #[track_caller]
    fn check_exact(found: Option<Decimal>, digits: i128, places: u32) -> bool {
        assert_eq!(found.is_some(), has_a_decimal(digits, places), "{digits}e-{places} is {found:?}");
        let Some(found) = found else { return false };
        let dropped = places.checked_sub(found.0.scale()).expect("it has no more places than its operands");
        assert_eq!(found.0.mantissa().checked_mul(10_i128.pow(dropped)), Some(digits), "{digits}e-{places} is {found}");
        let one_more_fits = places - dropped < 28 && (found.0.mantissa() * 10).unsigned_abs() < 1 << 96;
        assert!(dropped == 0 || !one_more_fits, "{digits}e-{places} lost a zero that fits: {found}");
        true
    }

    #[test]
    fn sums_and_differences_are_those_of_wide_integers() {
        let (mut numbers, mut outcomes) = (Numbers(0x9E37_79B9_7F4A_7C15), [0; 2]);
        for _ in 0..20_000 {
            let (long, short, apart) = (numbers.digits(96), numbers.digits(96), numbers.places(9));
            let places = apart + numbers.places(19);
            let (left, right, aligned) = (number(long, places), number(short, places - apart), short * 10_i128.pow(apart));
            outcomes[usize::from(check_exact(left.checked_add(right), long + aligned, places))] += 1;
            outcomes[usize::from(check_exact(right.checked_add(left), long + aligned, places))] += 1;
            outcomes[usize::from(check_exact(left.checked_sub(right), long - aligned, places))] += 1;
            outcomes[usize::from(check_exact(right.checked_sub(left), aligned - long, places))] += 1;
        }
        assert!(outcomes.iter().all(|seen| *seen > 1_000), "both outcomes are met: {outcomes:?}");
    }

    #[test]
    fn products_are_those_of_wide_integers() {
        let (mut numbers, mut outcomes) = (Numbers(0xD1B5_4A32_D192_ED03), [0; 2]);
        for _ in 0..20_000 {
            let (left, left_places) = (numbers.digits(96), numbers.places(28));
            let (right, right_places) = (numbers.digits(30), numbers.places(28));
            let found = number(left, left_places).checked_mul(number(right, right_places));
            outcomes[usize::from(check_exact(found, left * right, left_places + right_places))] += 1;
            assert_eq!(found, number(right, right_places).checked_mul(number(left, left_places)));
        }
        assert!(outcomes.iter().all(|seen| *seen > 1_000), "both outcomes are met: {outcomes:?}");
    }
}
