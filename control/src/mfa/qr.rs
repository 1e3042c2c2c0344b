//! How an authenticator gets its seed: as text, as an `otpauth` URI, and as a QR code of that in SVG and PNG.

use fast_qr::convert::Builder as _;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder, QRCode};
use shared::second_factor::totp::{DIGITS, STEP_SECS, Seed};
use totp_rs::Builder;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Longest name of a tenant in a URI, in characters. The URI holds it twice, and a QR code holds 2,331 bytes.
const ISSUER_CHARS: usize = 40;
/// Longest user name there.
const ACCOUNT_CHARS: usize = 64;
/// Modules around a code that stay white (ISO/IEC 18004).
const MARGIN: usize = 4;
/// Pixels of a module in each direction.
const PIXELS: usize = 6;

/// A seed as the URI that authenticator apps read. No `Debug`.
pub struct SeedUri {
    uri: Zeroizing<String>,
    /// In base 32, without padding.
    secret: Zeroizing<String>,
}

impl SeedUri {
    /// Names tenant and user, as authenticators show them. Colons divide the two, so that those within become blanks.
    ///
    /// # Errors
    /// Where the library refuses a name.
    pub fn new(seed: &Seed, tenant_name: &str, username: &str) -> Result<Self, Failure> {
        let issuer = shown(tenant_name, ISSUER_CHARS);
        let issuer = Some(issuer).filter(|name| !name.is_empty());
        let built = Builder::new()
            .with_secret(seed.expose().to_vec())
            .with_digits(u8::try_from(DIGITS).unwrap_or(6))
            .with_step_duration(STEP_SECS)
            .with_account_name(shown(username, ACCOUNT_CHARS))
            .with_issuer(issuer)
            .build();
        let failed = |_| Failure::Unreadable("otpauth URI");
        let totp = built.map_err(failed)?;
        let uri = Zeroizing::new(totp.to_url().map_err(failed)?);
        Ok(Self { uri, secret: Zeroizing::new(totp.secret().to_base32()) })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The seed alone, for typing: base 32.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The QR code as SVG.
    ///
    /// # Errors
    /// For a text that is too long; the names are cut so that this does not happen.
    pub fn to_svg(&self) -> Result<Zeroizing<String>, Failure> {
        let svg = SvgBuilder::default().margin(MARGIN).to_str(&self.code()?);
        Ok(Zeroizing::new(svg))
    }

    /// The QR code as PNG.
    ///
    /// # Errors
    /// As [`SeedUri::to_svg`].
    pub fn to_png(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let failed = |_| Failure::Unreadable("QR code");
        let code = self.code()?;
        let width = (code.size + 2 * MARGIN) * PIXELS;
        let pixels = Zeroizing::new(pixels(&code, width));
        let side = u32::try_from(width).map_err(|_| Failure::Unreadable("QR code"))?;
        let mut bytes = Zeroizing::new(Vec::new());
        let mut encoder = png::Encoder::new(&mut *bytes, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&pixels).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }

    fn code(&self) -> Result<QRCode, Failure> {
        QRBuilder::new(self.as_str()).ecl(ECL::M).build().map_err(|_| Failure::Unreadable("QR code"))
    }
}

/// A byte a pixel: 0 is black.
fn pixels(code: &QRCode, width: usize) -> Vec<u8> {
    let is_dark = |x: usize, y: usize| {
        let module = |at: usize| (at / PIXELS).checked_sub(MARGIN).filter(|at| *at < code.size);
        module(x).zip(module(y)).is_some_and(|(x, y)| code[y][x].value())
    };
    let places = (0..width).flat_map(|y| (0..width).map(move |x| (x, y)));
    places.map(|(x, y)| if is_dark(x, y) { 0 } else { 255 }).collect()
}

/// A name as a URI takes it.
fn shown(name: &str, most: usize) -> String {
    let plain = name.chars().map(|letter| if letter == ':' || letter.is_control() { ' ' } else { letter });
    plain.take(most).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"12345678901234567890";

    fn uri(tenant: &str, user: &str) -> SeedUri {
        SeedUri::new(&Seed::from_slice(SEED).unwrap(), tenant, user).unwrap()
    }

    #[test]
    fn a_uri_is_what_authenticators_read() {
        assert_eq!(
            uri("Acme Inc.", "ada@acme.test").as_str(),
            "otpauth://totp/Acme%20Inc.:ada%40acme.test?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme%20Inc."
        );
        assert_eq!(
            uri("a:b", "c:d\n").as_str(),
            "otpauth://totp/a%20b:c%20d?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=a%20b"
        );
    }

    /// The text that a QR code reader reads from the image.
    fn read(png: &[u8]) -> String {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let width = usize::try_from(info.width).unwrap();
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(width, width, |x, y| pixels[y * width + x]);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn the_code_says_the_uri() {
        for (tenant, user) in [("Acme", "ada"), ("Umlaute äöü", "grace@acme.test")] {
            let uri = uri(tenant, user);
            assert_eq!(read(&uri.to_png().unwrap()), uri.as_str());
            assert!(uri.to_svg().unwrap().starts_with("<svg "));
        }
    }

    #[test]
    fn the_longest_names_fit() {
        let long = "\u{1F600}".repeat(255);
        let uri = uri(&long, &long);
        assert!(uri.as_str().len() < 2331, "{}", uri.as_str().len());
        uri.to_png().unwrap();
    }
}
