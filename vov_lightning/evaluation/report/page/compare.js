// The player alone, for a page that shows one clip.

const data = JSON.parse(document.getElementById("data").textContent);
const frames = document.getElementById("frames");
document.getElementById("player").append(new Player(data, new Map([[data.points[0].clip, frames]])).element);
