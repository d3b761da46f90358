//! The three stages of a picture.

use crate::view::View;

/// Beyond this distance from the origin, squared, a point never comes back.
const ESCAPE: f64 = 4.0;

/// First stage: for each pixel, row by row, the steps until its point escapes; `view.iterations` when it does not.
pub fn iterate(view: &View) -> Vec<u32> {
    let step = view.scale / f64::from(view.width);
    let (left, top) = (f64::from(view.width - 1) / 2.0, f64::from(view.height - 1) / 2.0);
    let points = (0..view.height).flat_map(|row| (0..view.width).map(move |column| (column, row)));
    points
        .map(|(column, row)| {
            let (x, y) = ((f64::from(column) - left) * step + view.x, (top - f64::from(row)) * step + view.y);
            escape(x, y, view.iterations)
        })
        .collect()
}

/// Steps of z² + c until the point c escapes, at most `limit`.
fn escape(x: f64, y: f64, limit: u32) -> u32 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for step in 0..limit {
        let (real_squared, imaginary_squared) = (real * real, imaginary * imaginary);
        if real_squared + imaginary_squared > ESCAPE {
            return step;
        }
        imaginary = 2.0 * real * imaginary + y;
        real = real_squared - imaginary_squared + x;
    }
    limit
}

/// Second stage: red, green and blue of each pixel. The set is black; around it, colours go round once in 64 steps.
pub fn colour(view: &View, steps: &[u32]) -> Vec<u8> {
    steps
        .iter()
        .flat_map(|steps| {
            if *steps >= view.iterations {
                return [0, 0, 0];
            }
            let angle = f64::from(*steps) * std::f64::consts::TAU / 64.0;
            // The three colours are a third of a turn apart.
            [0.0, 1.0, 2.0].map(|third| {
                let light = 0.5 - 0.5 * (angle + third * std::f64::consts::TAU / 3.0).cos();
                (light * 255.0).round() as u8
            })
        })
        .collect()
}

/// Third stage: the PNG file.
///
/// # Errors
/// When `colours` is not a picture of the view's size.
pub fn encode(view: &View, colours: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, view.width, view.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(colours)?;
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_set_is_where_it_is() {
        // The origin and the centre of the biggest disc never escape; 0.5 and 1 do, at known steps.
        let steps = |x, y| escape(x, y, 1000);
        assert_eq!((steps(0.0, 0.0), steps(-1.0, 0.0), steps(-2.0, 0.0)), (1000, 1000, 1000));
        assert_eq!((steps(0.5, 0.0), steps(1.0, 0.0), steps(2.1, 0.0)), (5, 3, 1));
    }

    #[test]
    fn a_picture_is_symmetric_about_the_real_axis_and_its_middle_pixel_is_the_centre() {
        let view = View { width: 31, height: 21, ..View::default() };
        let steps = iterate(&view);
        let rows: Vec<&[u32]> = steps.chunks(31).collect();
        assert_eq!(rows.len(), 21);
        assert!((0..21).all(|row| rows[row] == rows[20 - row]));
        assert_eq!(rows[10][15], view.iterations, "-0.5 is in the set");
        assert_eq!(rows[0][0], escape(-0.5 - 1.5 + 1.5 / 31.0, 30.0 / 31.0, view.iterations));
    }

    #[test]
    fn a_file_has_the_size_and_the_colours_of_its_view() {
        let view = View { width: 20, height: 10, ..View::default() };
        let colours = colour(&view, &iterate(&view));
        let file = encode(&view, &colours).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
        let mut seen = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut seen).unwrap();
        assert_eq!((info.width, info.height), (20, 10));
        assert_eq!(seen, colours);
        assert!(colours.chunks(3).any(|pixel| pixel == [0, 0, 0]) && colours.iter().any(|light| *light != 0));
        assert!(encode(&view, &colours[1..]).is_err());
    }
}
