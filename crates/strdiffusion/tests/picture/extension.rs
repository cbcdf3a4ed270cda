//! A larger canvas around a photograph and its mask.

use strdiffusion::picture::{Extension, Limits, Margins, Mask, Photo, PictureError};

use crate::support::*;

fn margins(text: &str, size: [usize; 2]) -> [usize; 4] {
    let Margins {
        left,
        top,
        right,
        bottom,
    } = text.parse::<Extension>().unwrap().margins(size);
    [left, top, right, bottom]
}

#[test]
fn an_extension_is_four_sides_in_pixels_or_percent() {
    assert_eq!(margins("1,2,3,4", [200, 100]), [1, 2, 3, 4]);
    assert_eq!(margins("10%, 10%,0,12.6%", [200, 100]), [20, 10, 0, 13]);
    for wrong in [
        "",
        "1",
        "1,2,3",
        "1,2,3,4,5",
        "-1,0,0,0",
        "1,2,3,x",
        "1,2,3,-4%",
        "0,0,0,NaN%",
    ] {
        let error = wrong.parse::<Extension>().unwrap_err().to_string();
        assert!(error.contains("LEFT,TOP,RIGHT,BOTTOM"), "{error}");
    }
    let text = "1,20%,3,4";
    assert_eq!(text.parse::<Extension>().unwrap().to_string(), text);
}

#[test]
fn every_kind_of_photograph_lies_unchanged_on_the_larger_canvas() {
    let wide = Margins {
        left: 3,
        top: 1,
        right: 2,
        bottom: 4,
    };
    for image in pictures() {
        let photo = Photo::from_image(image).unwrap();
        let extended = photo.extended(&wide, &Limits::default()).unwrap();
        assert_eq!((extended.width(), extended.height()), (18, 14));
        let part = extended.image().crop_imm(3, 1, W, H);
        assert!(part.as_bytes() == photo.image().as_bytes());
        assert_eq!(part.color(), photo.image().color());
        if let Some(alpha) = extended.alpha() {
            assert_eq!(alpha[0], 1.0, "what is new is opaque");
        }
        let mask = box_mask().extended(&wide);
        let new = mask.keep().len() - box_mask().keep().len();
        assert_eq!(mask.hole_pixels(), box_mask().hole_pixels() + new);
        assert_eq!(mask.crop(3, 1, W as usize, H as usize), box_mask());
        let limits = Limits {
            max_side: 17,
            ..Limits::default()
        };
        let refused = photo.extended(&wide, &limits);
        assert!(matches!(refused, Err(PictureError::TooLarge { .. })));
    }
    let soft = Mask::from_weights(2, 1, vec![0, 9]).unwrap();
    assert_eq!(
        soft.extended(&wide).weights().unwrap()[7 + 3..][..2],
        [0, 9]
    );
}
