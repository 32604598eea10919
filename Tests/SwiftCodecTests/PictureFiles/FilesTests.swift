// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import SwiftCodec
import Testing

@testable import PictureFiles

/// Files made by scripts/make_unusual_files.py, against what Pillow and libjpeg-turbo see in them.
@Suite struct UnusualFileTests {
  static let files = ListedFile.list()

  @Test func thereAreEnough() {
    #expect(Self.files.filter { $0.kind == .ycc }.count >= 60)
    #expect(Self.files.count >= 180)
  }

  @Test(arguments: files) func isReadAsListed(_ file: ListedFile) throws {
    #expect(try file.problem() == nil)
  }

  /// Damaged files: an error, or a picture of the size its header says. Nothing traps.
  @Test func damagedFilesAreAnErrorOrAPicture() throws {
    let seed: UInt64 = 11
    var generator = SplitMix(seed)
    let sources = try Self.files.map { try ListedFile.bytes($0.name) }.filter { (8..<4000).contains($0.count) }
    var (pictures, errors) = (0, 0)
    for round in 0..<2000 {
      var bytes = sources[round % sources.count]
      for _ in 0..<generator.int(1...6) {
        switch generator.below(5) {
        case 0: bytes[generator.below(bytes.count)] = UInt8(generator.below(256))
        case 1: bytes[generator.below(bytes.count)] ^= 1 << UInt8(generator.below(8))
        case 2: if bytes.count > 20 { bytes.remove(at: generator.below(bytes.count)) }
        case 3: bytes.insert(generator.pick([0, 255, 0xD0, 0xDA, 0xC4]), at: generator.below(bytes.count))
        default: if generator.below(6) == 0 { bytes.removeLast(generator.below(bytes.count - 8)) }
        }
      }
      if let loaded = try? PictureFile.read(bytes, maximumPixels: 1 << 16) {
        pictures += 1
        _ = loaded.onWhite()
        #expect(loaded.picture.width * loaded.picture.height <= 1 << 16)
        #expect(loaded.alpha.map { $0.width == loaded.picture.width && $0.height == loaded.picture.height } ?? true)
      } else {
        errors += 1
      }
    }
    #expect(pictures > 100 && errors > 100, "\(pictures) pictures, \(errors) errors, seed \(seed)")
  }

  /// A JPEG file cut anywhere is an error, but for the end marker.
  @Test(arguments: ["420-baseline-40x28.jpg", "444-progressive-37x29-restart.jpg", "grey-progressive-8x8.jpg"])
  func everyTruncationIsAnError(_ name: String) throws {
    let bytes = try ListedFile.bytes(name)
    for count in 0..<bytes.count - 2 {
      #expect(throws: PictureFileError.self, "\(count) bytes") { try PictureFile.read(Array(bytes[..<count])) }
    }
    #expect(try PictureFile.read(Array(bytes.dropLast(2))).warnings == [.noEndMarker])
    #expect(try PictureFile.read(Array(bytes.dropLast(2))).picture == PictureFile.read(bytes).picture)
  }

  @Test func pixelsAreLimited() throws {
    for name in ["plain.png", "420-baseline-40x28.jpg", "plain.pgm", "rgb.pam", "bits-24.bmp", "full.y4m"] {
      let bytes = try ListedFile.bytes(name)
      #expect(throws: PictureFileError.self, "\(name)") { try PictureFile.read(bytes, maximumPixels: 20) }
    }
  }

  /// A header alone makes nobody allocate gigabytes.
  @Test func hugeFramesNeedData() throws {
    var bytes = try ListedFile.bytes("420-baseline-40x28.jpg")
    let at = try #require(bytes.indices.first { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xC0 })
    bytes.replaceSubrange(at + 5..<at + 9, with: [0x0F, 0xFF, 0xFF, 0xFF])
    #expect(throws: JPEGError.truncated) { try JPEG.load(bytes) }
  }
}

@Suite struct MetadataTests {
  private static let exif: [UInt8] = [0x4D, 0x4D, 0, 42, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0]

  @Test(arguments: [1, 3]) func pngKeepsEverything(_ channels: Int) throws {
    var generator = SplitMix(9)
    var metadata = PictureMetadata()
    metadata.icc = (0..<3000).map { _ in UInt8(generator.below(20)) }
    metadata.exif = Self.exif
    metadata.xmp = Array("<x:xmpmeta xmlns:x='adobe:ns:meta/'>žluť</x:xmpmeta>".utf8)
    metadata.cicp = [9, 16, 0, 1]
    metadata.gamma = 45455
    metadata.chromaticities = Chromaticities([31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])
    metadata.resolution = PictureResolution(horizontal: 2835, vertical: 2834, unit: .metre)
    let picture = drawnPicture(width: 30, height: 20, channels: channels)
    let alpha = drawnPicture(width: 30, height: 20, channels: 1, seed: 4)
    let whole = LoadedPicture(picture: picture, alpha: alpha, metadata: metadata)
    #expect(try PNG.load(PNG.write(picture, alpha: alpha, metadata: metadata)) == whole)

    metadata = PictureMetadata()
    metadata.sRGBIntent = 2
    #expect(try PNG.load(PNG.write(picture, metadata: metadata)).metadata == metadata)
  }

  @Test func resolutionIsPerMetreInPNG() throws {
    let picture = drawnPicture(width: 3, height: 2)
    func written(_ horizontal: UInt32, _ unit: PictureResolution.Unit) throws -> PictureResolution? {
      var metadata = PictureMetadata()
      metadata.resolution = PictureResolution(horizontal: horizontal, vertical: 1, unit: unit)
      return try PNG.load(PNG.write(picture, metadata: metadata)).metadata.resolution
    }
    #expect(try written(72, .inch) == PictureResolution(horizontal: 2835, vertical: 39, unit: .metre))
    #expect(try written(28, .centimetre) == PictureResolution(horizontal: 2800, vertical: 100, unit: .metre))
    #expect(try written(4, .none) == PictureResolution(horizontal: 4, vertical: 1, unit: .none))
  }

  /// A segment behind the first two bytes of a JPEG file.
  private func jpeg(_ segments: [(UInt8, [UInt8])]) throws -> LoadedPicture {
    let bytes = try ListedFile.bytes("own-444.jpg")
    let extra = segments.flatMap { marker, data -> [UInt8] in
      [0xFF, marker, UInt8((data.count + 2) >> 8), UInt8((data.count + 2) & 255)] + data
    }
    return try JPEG.load(bytes[..<2] + extra + bytes[2...])
  }

  @Test func jpegGivesItsMetadata() throws {
    let profile = (0..<300).map { UInt8($0 & 255) }
    let parts = [(2, profile[200...]), (1, profile[..<200])].map { number, part in
      (UInt8(0xE2), Array("ICC_PROFILE\0".utf8) + [UInt8(number), 2] + part)
    }
    let xmp = Array("<x/>".utf8)
    let loaded = try jpeg(
      [
        (0xE0, Array("JFIF\0".utf8) + [1, 1, 1, 0, 72, 0, 96, 0, 0]), (0xE1, Array("Exif\0\0".utf8) + Self.exif),
        (0xE1, Array("http://ns.adobe.com/xap/1.0/\0".utf8) + xmp),
      ] + parts)
    #expect(loaded.metadata.icc == profile)
    #expect(loaded.metadata.exif == Self.exif)
    #expect(loaded.metadata.xmp == xmp)
    #expect(loaded.metadata.resolution == PictureResolution(horizontal: 72, vertical: 96, unit: .inch))
    #expect(loaded.warnings.isEmpty)
    #expect(try jpeg([parts[0]]).warnings == [.damagedMetadata("the ICC profile")])
    #expect(try jpeg([(0xED, [1])]).warnings == [.segmentNotKept("segment APP13")])
    #expect(try jpeg([(0xE1, Array("Exif\0\0".utf8))]).warnings == [.damagedMetadata("the EXIF block")])
    #expect(
      try jpeg([(0xE2, Array("ICC_PROFILE\0\u{1}\u{1}".utf8))]).warnings == [.damagedMetadata("the ICC profile")])
    let colour = try JPEG.load(ListedFile.bytes("own-420.jpg")).metadata.colour
    #expect(colour == .jfif)
  }

  @Test func orientationsUndoEachOther() throws {
    for format in PixelFormat.allCases {
      let count = format.sampleCount(width: 6, height: 4)
      let picture = makePicture(6, 4, format, (0..<count).map { UInt8($0) })
      for orientation in Orientation.allCases {
        // A quarter turn is undone by the other one, everything else by itself.
        let back = orientation == .rightTop ? .leftBottom : orientation == .leftBottom ? .rightTop : orientation
        #expect(back.upright(orientation.upright(picture)) == picture, "\(orientation)")
      }
    }
  }

  @Test func orientationIsSetToOne() throws {
    for name in ["orientation-6.png", "orientation-6-420.jpg"] {
      let exif = try #require(try PictureFile.read(ListedFile.bytes(name)).metadata.exif)
      #expect(Exif.orientation(exif)?.value == 1)
    }
  }
}

@Suite struct PAMAndY4MTests {
  @Test(arguments: [1, 3]) func pamKeepsAlpha(_ channels: Int) throws {
    let picture = drawnPicture(width: 7, height: 5, channels: channels)
    let alpha = drawnPicture(width: 7, height: 5, channels: 1, seed: 3)
    #expect(try PNM.load(PNM.write(picture, alpha: alpha)) == LoadedPicture(picture: picture, alpha: alpha))
  }

  /// Frames come back whatever the pieces in which the bytes arrive.
  @Test(arguments: [1, 7, 1 << 20]) func y4mStreams(_ piece: Int) throws {
    var header = Y4MHeader(width: 5, height: 3, chroma: .yuv420mpeg2, isFullRange: false)
    header.frameRate = (30000, 1001)
    header.pixelAspect = (1, 1)
    let count = PixelFormat.yuv420.sampleCount(width: 5, height: 3)
    let frames = (0..<3).map { n in makePicture(5, 3, .yuv420, (0..<count).map { UInt8($0 + 10 * n) }) }
    let writer = Y4MWriter(header)
    let bytes = try writer.start + frames.flatMap { try writer.frame($0) }
    var position = 0
    var reader = try Y4MReader { count throws(Y4MError) in
      let end = min(position + min(count, piece), bytes.count)
      defer { position = end }
      return Array(bytes[position..<end])
    }
    #expect(reader.header == header)
    var read: [Picture] = []
    while let frame = try reader.next() { read.append(frame) }
    #expect(read == frames)
    #expect(throws: Y4MError.picture) { try writer.frame(drawnPicture(width: 5, height: 3)) }
  }

  @Test func y4mStill() throws {
    let picture = makePicture(5, 3, .yuv420, (0..<27).map { UInt8(9 * $0) })
    let loaded = try Y4M.load(Y4M.write(picture))
    #expect(loaded.picture == picture && loaded.metadata.colour?.isFullRange == true && loaded.warnings.isEmpty)
    #expect(throws: Y4MError.picture) { try Y4M.write(drawnPicture(width: 5, height: 3)) }
  }
}
